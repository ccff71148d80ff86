//! What happens to processes that die, hang, compute or grow; and to those that wait for one.

#![cfg(unix)]

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::Path,
};

use media::{Limits, Pool};

use super::{inside, make, pictures, pool, pool_within};

/// A pool whose processes run a shell script.
fn scripted(folder: &Path, script: &str) -> Pool {
    let program = folder.join("child");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it may run");
    let limits = Limits {
        wall_seconds_max: 2,
        ..Limits::default()
    };
    Pool::of_program(limits, program)
}

#[tokio::test]
async fn a_death_is_told_apart_by_what_it_died_of() {
    let endings = [
        ("exit 101", "crashed", true),
        ("kill -SEGV $$", "crashed", true),
        ("exit 1", "decoder_unavailable", false),
        ("kill -KILL $$", "decoder_unavailable", false),
        ("kill -XCPU $$", "too_slow", true),
        ("kill -ABRT $$", "too_much_memory", true),
        ("exec /bin/sleep 600", "timed_out", false),
    ];

    for (script, code, permanent) in endings {
        let folder = tempfile::tempdir().expect("a folder");
        let pool = scripted(folder.path(), script);
        let made = make(&pool, folder.path(), b"image", &[inside("a", 9)]).await;
        let error = made.expect_err("the script decodes nothing");
        assert_eq!(
            (error.code(), error.is_permanent()),
            (code, permanent),
            "{script}"
        );
    }
}

#[tokio::test]
async fn a_program_that_is_missing_may_come_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let pool = Pool::of_program(Limits::default(), "/nowhere/child");

    let error = make(&pool, folder.path(), b"", &[inside("a", 9)])
        .await
        .expect_err("missing");

    assert_eq!(
        (error.code(), error.is_permanent()),
        ("decoder_unavailable", false)
    );
}

#[tokio::test]
async fn a_path_that_cannot_be_said_takes_no_process() {
    let pool = Pool::of_program(Limits::default(), "/nowhere/child");
    let source = Path::new(OsStr::from_bytes(b"\xff.png"));

    let error = pool
        .variants(source, &[inside("a", 9)], Path::new("/tmp"))
        .await
        .expect_err("JSON has no such word");

    assert_eq!(error.code(), "files_unavailable");
}

/// It has the user of its pool, so only this keeps it from reading the pool's environment.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_process_cannot_look_into_its_pool() {
    use rustix::process::{DumpableBehavior, dumpable_behavior};

    let folder = tempfile::tempdir().expect("a folder");

    let made = make(
        &pool(),
        folder.path(),
        &pictures::rgb_png(),
        &[inside("a", 9)],
    )
    .await;

    assert!(made.is_ok(), "{made:?}");
    let now = dumpable_behavior().expect("Linux says");
    assert_eq!(now, DumpableBehavior::NotDumpable);
}

#[tokio::test]
async fn an_image_that_needs_more_memory_than_there_is_is_refused() {
    let limits = Limits {
        memory_bytes_max: 64 << 10,
        ..Limits::default()
    };
    let folder = tempfile::tempdir().expect("a folder");

    let made = make(
        &pool_within(limits),
        folder.path(),
        &pictures::rgb_png(),
        &[inside("a", 99)],
    )
    .await;

    assert_eq!(
        made.expect_err("so little is too little").code(),
        "too_much_memory"
    );
}

/// Eight sizes that are all made from the largest, of a picture that cannot be narrowed to them.
#[tokio::test]
async fn the_largest_sizes_of_an_allowed_picture_have_memory() {
    let limits = Limits {
        memory_bytes_max: 64 << 20,
        ..Limits::default()
    };
    let row: Vec<u8> = (0..1400_u32)
        .flat_map(|x| [90, 120, (x / 8).to_le_bytes()[0], (x / 8).to_le_bytes()[0]])
        .collect();
    let wanted: Vec<_> = (1017..=1024)
        .map(|side| inside(&side.to_string(), side))
        .collect();
    let folder = tempfile::tempdir().expect("a folder");

    let pixels = row.repeat(1400);
    let bytes = pictures::png_of([1400, 1400], &pixels, png::ColorType::Rgba, |_| {});
    let made = make(&pool_within(limits), folder.path(), &bytes, &wanted).await;

    assert_eq!(made.map(|made| made.variants.len()).ok(), Some(16));
}

#[tokio::test]
async fn after_a_refusal_the_next_image_is_made() {
    let pool = pool_within(Limits {
        children: 1,
        ..Limits::default()
    });
    let folder = tempfile::tempdir().expect("a folder");
    let wanted = [inside("a", 9)];

    let refused = make(&pool, folder.path(), b"GIF89a", &wanted).await;
    let made = make(&pool, folder.path(), &pictures::webp(false), &wanted).await;

    assert_eq!(
        refused.map_err(|error| error.code()).err(),
        Some("truncated")
    );
    assert!(made.is_ok());
}

#[tokio::test]
async fn more_images_than_processes_wait_for_each_other() {
    let pool = pool_within(Limits {
        children: 2,
        images_per_child_max: 3,
        ..Limits::default()
    });
    let folders: Vec<_> = (0..12)
        .map(|_| tempfile::tempdir().expect("a folder"))
        .collect();
    let (bytes, wanted) = (pictures::jpeg(|_| {}), [inside("a", 40)]);

    let (first, second) = tokio::join!(
        async {
            for folder in &folders[..6] {
                make(&pool, folder.path(), &bytes, &wanted)
                    .await
                    .expect("valid");
            }
        },
        async {
            for folder in &folders[6..] {
                make(&pool, folder.path(), &bytes, &wanted)
                    .await
                    .expect("valid");
            }
        }
    );

    assert_eq!((first, second), ((), ()));
}
