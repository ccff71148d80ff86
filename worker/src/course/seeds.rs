//! Where every choice comes from: the seed of the course, and nothing else.
//!
//! Seeds are derived from what is asked for, never from an attempt, a time or an order of completion, so a
//! course that was interrupted ten times has the bytes of one that was not.

use sha2::{Digest, Sha256};

/// JSON readers that know only doubles must be able to read a seed.
const SEED_BITS: u32 = 53;

/// The seed for one ask for one part of a course.
///
/// `round` counts how often the part was written over, `ask` how often it was asked for within one round.
pub(crate) fn of(course: u64, part: &str, round: i64, ask: u8) -> u64 {
    let mut hash = Sha256::new();
    hash.update(course.to_be_bytes());
    hash.update(round.to_be_bytes());
    hash.update([ask]);
    hash.update(part.as_bytes());
    let digest = hash.finalize();
    let head = digest
        .iter()
        .take(8)
        .fold(0_u64, |seed, byte| (seed << 8) | u64::from(*byte));
    head >> (u64::BITS - SEED_BITS)
}

/// A place among `places`, drawn by a seed: where the right answer goes.
pub(crate) fn place(seed: u64, item: usize, places: usize) -> usize {
    let drawn = of(seed, &format!("place/{item}"), 0, 0);
    usize::try_from(drawn % u64::try_from(places.max(1)).unwrap_or(1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_part_round_and_ask_has_a_seed_of_its_own() {
        let mut seeds = HashSet::new();
        for part in ["outline", "lesson/1", "lesson/11", "quiz/1"] {
            for round in 1..3 {
                for ask in 0..2 {
                    seeds.insert(of(7, part, round, ask));
                }
            }
        }
        assert_eq!(seeds.len(), 16);
        assert!(seeds.iter().all(|seed| *seed < 1 << SEED_BITS));
    }

    #[test]
    fn a_seed_never_changes_between_releases() {
        assert_eq!(of(1, "outline", 0, 0), of(1, "outline", 0, 0));
        insta::assert_snapshot!(of(1, "outline", 0, 0));
    }

    #[test]
    fn places_are_spread_evenly() {
        let mut counts = [0_u32; 4];
        for item in 0..4_000 {
            counts[place(42, item, 4)] += 1;
        }
        assert!(
            counts.iter().all(|count| (850..1_150).contains(count)),
            "{counts:?}"
        );
    }
}
