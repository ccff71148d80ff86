//! Who may do what: six roles, and the permissions that each has. This table is the only place that
//! says so; every operation of the API names the permission that it takes.

use std::collections::BTreeSet;

use crate::words;

words! {
    /// What an account is on this platform. Each may do what the one before it may, and more; only
    /// operators do not moderate.
    Role {
        /// May look after its own account and nothing else.
        Guest = "guest",
        /// Reads courses, and follows its own tasks.
        Learner = "learner",
        /// Has courses written. What an account is once its address is confirmed.
        Author = "author",
        /// Looks after what authors make and who they are.
        Moderator = "moderator",
        /// Keeps the system running.
        Operator = "operator",
        /// May do everything.
        Admin = "admin",
    }
}

words! {
    /// What may be done. An operation takes one of them, or is public.
    Permission {
        /// To read one's own account.
        ReadProfile = "profile.read",
        /// To change the name, the language and the preferences of one's own account.
        WriteProfile = "profile.write",
        /// To change one's password or mail address.
        ChangeCredentials = "credentials.change",
        /// To delete one's own account.
        DeleteAccount = "account.delete",
        /// To see where one is signed in.
        ReadSessions = "sessions.read",
        /// To end one's own sessions.
        EndSessions = "sessions.end",
        /// To see one's own API keys.
        ReadKeys = "keys.read",
        /// To make and to revoke API keys of one's own.
        WriteKeys = "keys.write",
        /// To read one's own tasks.
        ReadTasks = "tasks.read",
        /// To submit tasks of the kinds that are open to clients.
        SubmitTasks = "tasks.submit",
        /// To cancel and to retry one's own tasks.
        SteerTasks = "tasks.steer",
        /// To forget one's own tasks.
        DeleteTasks = "tasks.delete",
        /// To read courses.
        ReadCourses = "courses.read",
        /// To have courses written.
        WriteCourses = "courses.write",
        /// To delete one's own courses.
        DeleteCourses = "courses.delete",
        /// To take courses elsewhere.
        ExportCourses = "courses.export",
        /// To read one's own schedules.
        ReadSchedules = "schedules.read",
        /// To make, change and delete one's own schedules.
        WriteSchedules = "schedules.write",
        /// To read one's own files.
        ReadFiles = "files.read",
        /// To upload files.
        WriteFiles = "files.write",
        /// To delete one's own files.
        DeleteFiles = "files.delete",
        /// To read where one is written to.
        ReadContact = "contact.read",
        /// To say where one is written to.
        WriteContact = "contact.write",
        /// To see one's own mail.
        ReadEmails = "emails.read",
        /// To see which letters there are.
        ReadLetters = "letters.read",
        /// To write to any address in the name of the platform.
        SendEmails = "emails.send",
        /// To read what is counted.
        ReadMetrics = "metrics.read",
        /// To see the queues.
        ReadQueues = "queues.read",
        /// To pause, resume and drain queues.
        SteerQueues = "queues.steer",
        /// To see the processes that run tasks.
        ReadWorkers = "workers.read",
        /// To see everybody's tasks.
        ReadAllTasks = "all_tasks.read",
        /// To cancel and to retry everybody's tasks.
        SteerAllTasks = "all_tasks.steer",
        /// To list and to search accounts.
        ReadUsers = "users.read",
        /// To suspend and to restore accounts.
        SuspendUsers = "users.suspend",
        /// To give roles.
        GrantRoles = "roles.grant",
        /// To act as somebody else; it is written down.
        Impersonate = "users.impersonate",
        /// To read who did what.
        ReadAudit = "audit.read",
    }
}

const EVERYBODY: &[Role] = Role::ALL;
const LEARNERS: &[Role] = &[
    Role::Learner,
    Role::Author,
    Role::Moderator,
    Role::Operator,
    Role::Admin,
];
const AUTHORS: &[Role] = &[Role::Author, Role::Moderator, Role::Operator, Role::Admin];
const MODERATORS: &[Role] = &[Role::Moderator, Role::Admin];
const OPERATORS: &[Role] = &[Role::Operator, Role::Admin];
const STAFF: &[Role] = &[Role::Moderator, Role::Operator, Role::Admin];
const ADMINS: &[Role] = &[Role::Admin];

impl Permission {
    /// Who has it.
    pub const fn roles(self) -> &'static [Role] {
        match self {
            Self::ReadProfile
            | Self::WriteProfile
            | Self::ChangeCredentials
            | Self::DeleteAccount
            | Self::ReadSessions
            | Self::EndSessions => EVERYBODY,
            Self::ReadKeys
            | Self::WriteKeys
            | Self::ReadTasks
            | Self::SubmitTasks
            | Self::SteerTasks
            | Self::DeleteTasks
            | Self::ReadCourses
            | Self::ExportCourses
            | Self::ReadFiles
            | Self::ReadContact
            | Self::WriteContact
            | Self::ReadEmails
            | Self::ReadLetters => LEARNERS,
            Self::WriteCourses
            | Self::DeleteCourses
            | Self::ReadSchedules
            | Self::WriteSchedules
            | Self::WriteFiles
            | Self::DeleteFiles => AUTHORS,
            Self::SuspendUsers => MODERATORS,
            Self::ReadUsers => STAFF,
            Self::SendEmails
            | Self::ReadMetrics
            | Self::ReadQueues
            | Self::SteerQueues
            | Self::ReadWorkers
            | Self::ReadAllTasks
            | Self::SteerAllTasks
            | Self::ReadAudit => OPERATORS,
            Self::GrantRoles | Self::Impersonate => ADMINS,
        }
    }

    /// Whether a machine may have it: what decides over the account itself takes a person.
    pub const fn is_for_machines(self) -> bool {
        !matches!(
            self,
            Self::ChangeCredentials
                | Self::DeleteAccount
                | Self::EndSessions
                | Self::WriteKeys
                | Self::GrantRoles
                | Self::Impersonate
        )
    }
}

/// A set of permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u64);

impl Permissions {
    /// None at all.
    pub const NONE: Self = Self(0);

    /// What a role may do.
    pub fn of(role: Role) -> Self {
        let all = Permission::ALL.iter();
        all.filter(|permission| permission.roles().contains(&role))
            .copied()
            .collect()
    }

    /// Whether it is among them.
    pub fn has(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u64) != 0
    }

    /// Those that are in both sets.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that a machine may have, or somebody who acts as somebody else.
    pub fn for_machines() -> Self {
        let all = Permission::ALL.iter().copied();
        all.filter(|permission| permission.is_for_machines())
            .collect()
    }

    /// Those that are not in the other set.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The set with one more.
    #[must_use]
    pub fn with(self, permission: Permission) -> Self {
        Self(self.0 | (1 << permission as u64))
    }

    /// By their words, in order.
    pub fn words(self) -> BTreeSet<&'static str> {
        let all = Permission::ALL.iter().copied();
        all.filter(|permission| self.has(*permission))
            .map(Permission::as_str)
            .collect()
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        permissions.into_iter().fold(Self::NONE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_what_was_decided() {
        let counts: Vec<_> = Role::ALL
            .iter()
            .map(|role| (role.as_str(), Permissions::of(*role).words().len()))
            .collect();

        assert_eq!(
            counts,
            [
                ("guest", 6),
                ("learner", 19),
                ("author", 25),
                ("moderator", 27),
                ("operator", 34),
                ("admin", 37)
            ]
        );
    }

    #[test]
    fn a_set_holds_every_permission() {
        assert!(Permission::ALL.len() <= 64, "a set is 64 bits");
        for permission in Permission::ALL {
            let alone = Permissions::NONE.with(*permission);
            assert!(alone.has(*permission));
            assert_eq!(
                alone.words().into_iter().collect::<Vec<_>>(),
                [permission.as_str()]
            );
            assert!(permission.roles().contains(&Role::Admin), "{permission}");
        }
    }
}
