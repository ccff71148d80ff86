//! Ids: one type a table, each a UUID of version 7, so that they sort by the time they were made.

use uuid::Uuid;

/// Declares the id of a table.
macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize,
            serde::Deserialize, sqlx::Type,
        )]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh id, later in order than those made before it.
            #[expect(clippy::new_without_default, reason = "a default id would not be a default")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id!(
    /// The id of a course.
    CourseId
);
id!(
    /// The id of a module of a course.
    ModuleId
);
id!(
    /// The id of a lesson.
    LessonId
);
id!(
    /// The id of a mail.
    EmailId
);
id!(
    /// The id of a file.
    FileId
);
id!(
    /// The id of an upload: a file that comes piece by piece.
    UploadId
);
id!(
    /// The id of whoever a row belongs to.
    OwnerId
);
id!(
    /// The id of a schedule.
    ScheduleId
);
id!(
    /// The id of a key of a machine.
    ApiKeyId
);
id!(
    /// The id of a session.
    SessionId
);
id!(
    /// The id of a task. It stands here because courses refer to their task.
    TaskId
);

impl OwnerId {
    /// Whoever uses this machine alone, without signing in.
    pub const LOCAL: Self = Self(Uuid::nil());
}
