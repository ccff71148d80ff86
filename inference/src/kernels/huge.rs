//! Large pages for weights: a step reads all of them, and looking up where each 4 KiB of them are takes
//! about a tenth of its time.

use std::ops::Range;

/// Size of a large page of most processors; where it is another one nothing is gained, and nothing lost.
const HUGE_BYTES: usize = 2 << 20;
/// Bytes between two pieces of memory that are moved along: the allocator's own, mostly.
const GAP_BYTES_MAX: usize = 64 << 10;

/// The addresses of some memory.
pub(crate) fn place<T>(memory: &[T]) -> Range<usize> {
    let range = memory.as_ptr_range();
    range.start.expose_provenance()..range.end.expose_provenance()
}

/// Moves memory, given by its addresses, to large pages where the system has them.
///
/// It is a wish: whoever cannot fulfil it leaves everything as it is.
pub(crate) fn gather(mut pieces: Vec<Range<usize>>) {
    pieces.sort_unstable_by_key(|piece| piece.start);
    let mut joined: Vec<Range<usize>> = Vec::new();
    for piece in pieces {
        match joined.last_mut() {
            Some(last) if piece.start <= last.end.saturating_add(GAP_BYTES_MAX) => {
                last.end = last.end.max(piece.end);
            }
            _ => joined.push(piece),
        }
    }
    for piece in joined {
        let start = piece.start.next_multiple_of(HUGE_BYTES);
        let end = piece.end / HUGE_BYTES * HUGE_BYTES;
        if start < end {
            advise(start, end - start);
        }
    }
}

#[cfg(all(target_os = "linux", not(miri)))]
fn advise(start: usize, bytes: usize) {
    let place = std::ptr::with_exposed_provenance_mut(start);
    for advice in [libc::MADV_HUGEPAGE, libc::MADV_COLLAPSE] {
        #[expect(unsafe_code, reason = "the system is asked for something")]
        // SAFETY: both advices change where memory is and never what it holds, for every thread that
        // reads or writes it meanwhile; of addresses without memory the system says so.
        let _ = unsafe { libc::madvise(place, bytes, advice) };
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn advise(_start: usize, _bytes: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_holds_what_it_held() {
        let numbers: Vec<usize> = (0..3 * HUGE_BYTES / size_of::<usize>()).collect();
        let Range { start, end } = place(&numbers);
        let middle = start + HUGE_BYTES;

        gather(vec![middle..end, start..middle, start..start, 0..0]);
        gather(Vec::new());

        assert!(numbers.iter().copied().eq(0..numbers.len()));
    }
}
