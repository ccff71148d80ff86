//! Every kind of job: one file each, and one line in [`ALL`].

mod generate_course;
mod noop;
mod poison;
mod send_email;
mod thumbnail_image;
mod write_lesson;

pub use generate_course::GenerateCourse;
pub use noop::Noop;
pub use poison::Poison;
pub use send_email::SendEmail;
pub use thumbnail_image::ThumbnailImage;
pub use write_lesson::WriteLesson;

use crate::job::Definition;

/// Every kind. The worker has a handler for each: a test compares the lists.
pub const ALL: &[Definition] = &[
    Definition::of::<GenerateCourse>(),
    Definition::of::<WriteLesson>(),
    Definition::of::<SendEmail>(),
    Definition::of::<ThumbnailImage>(),
    Definition::of::<Noop>(),
    Definition::of::<Poison>(),
];

/// The definition of a kind, if there is one.
pub fn find(kind: &str) -> Option<&'static Definition> {
    ALL.iter().find(|definition| definition.kind == kind)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, fs, io};

    use super::*;

    #[test]
    fn every_file_of_a_kind_is_in_the_list() -> io::Result<()> {
        let files = fs::read_dir("src/kinds")?.collect::<io::Result<Vec<_>>>()?;

        assert_eq!(ALL.len(), files.len() - 1, "one file a kind, and mod.rs");
        Ok(())
    }

    #[test]
    fn no_two_kinds_share_a_name() {
        let names: HashSet<_> = ALL.iter().map(|definition| definition.kind).collect();

        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn a_kind_is_found_by_its_name() {
        assert!(
            ALL.iter()
                .all(|one| find(one.kind).is_some_and(|found| found.kind == one.kind))
        );
        assert!(find("course.unknown").is_none());
    }

    #[test]
    fn every_policy_is_within_the_bounds_of_the_table() {
        for definition in ALL {
            assert!(
                (1..=100).contains(&definition.attempts_max),
                "{}",
                definition.kind
            );
            assert!(definition.timeout.as_secs() > 0, "{}", definition.kind);
        }
    }
}
