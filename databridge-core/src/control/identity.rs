//! Organisations, people, what they may do, and how they prove who they are.

mod absences;
mod asker;
mod bootstrap;
pub mod directory;
mod keys;
mod organisations;
mod password;
mod people;
mod sessions;
pub mod signin;
mod sql;
mod tokens;
mod users;

pub use absences::{NewAbsence, absences, end_absence, set_absence};
pub use asker::Asker;
pub use bootstrap::{DEFAULT_ORG, first_start, os_user};
pub use directory::Directory;
pub use keys::{KeyRequest, NewKey, create_key, list_keys, revoke_key};
pub use organisations::{NewOrganisation, Organisation, create_organisation};
pub use people::{Granted, UserChange, UserDetail, change_user, show_user, who_has};
pub use sessions::{Session, logout, set_password};
pub use signin::{Attempt, Entrance, unlock};
pub use sql::{AbsenceView, KeyView, UserView, org_by_code, organisations, user_by_name};
pub use tokens::Tokens;
pub use users::{NewUser, RoleChange, create_user, list_users, set_active, set_role};

use crate::base::error::{ErrorKind, Fault};
use crate::control::ctx::Matrix;
use crate::control::db;
use crate::symbols;

symbols! {
    /// What the kernel itself asks permission for.
    pub enum Permission {
        /// Create users, give and take roles.
        ManageUsers = "manage users",
        /// See and retry jobs that were given up.
        ManageJobs = "manage jobs",
        /// Limit bandwidth.
        ManageTraffic = "manage traffic",
        /// Read everybody's events.
        ReadLedger = "read the ledger",
        /// Read what a monitoring system watches.
        ReadMetrics = "read metrics",
        /// See what staging no longer needs, and have it removed.
        KeepHouse = "keep house",
    }
}

/// Who may administer.
pub const MATRIX: Matrix<Permission> = &[
    (
        "admin",
        &[
            Permission::ManageUsers,
            Permission::ManageJobs,
            Permission::ManageTraffic,
            Permission::ReadLedger,
            Permission::ReadMetrics,
            Permission::KeepHouse,
        ],
    ),
    ("it_team", &[Permission::ManageTraffic, Permission::ReadMetrics, Permission::KeepHouse]),
];

/// Failures of identity. None tells whether a user name exists.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Wrong name, wrong password, locked or gone: one answer for all.
    #[error("the user name or the password is wrong")]
    WrongCredentials,
    /// The one-time password only serves to choose another.
    #[error("this password must be changed before it can be used")]
    MustChangePassword,
    /// The token is malformed, expired, revoked or not ours.
    #[error("the token is not accepted: {0}")]
    BadToken(&'static str),
    /// Nobody is signed in.
    #[error("nobody is signed in")]
    NoToken,
    /// A password that is too easy to find.
    #[error("the password is too short: at least {least} characters, it has {found}")]
    WeakPassword {
        /// The least.
        least: usize,
        /// What it has.
        found: usize,
    },
    /// A name that cannot be one.
    #[error("{field} {value:?} is not acceptable: {reason}")]
    BadField {
        /// Which field.
        field: &'static str,
        /// What was given.
        value: String,
        /// Why not.
        reason: String,
    },
    /// There is no such user.
    #[error("there is no user {0:?}")]
    NoUser(String),
    /// There is no such API key.
    #[error("there is no API key {0:?}")]
    NoKey(String),
    /// There is no such absence, or none of the caller's.
    #[error("there is no absence {0}")]
    NoAbsence(uuid::Uuid),
    /// Whoever is shut out gets no keys.
    #[error("the user {0:?} is deactivated")]
    Inactive(String),
    /// No server of the directory answers, or it cannot be asked.
    #[error("the directory does not answer")]
    Directory(String),
    /// The name is taken.
    #[error("the user name {0:?} is taken")]
    UserExists(String),
    /// The short name is another organisation's.
    #[error("there is an organisation {0:?} already")]
    OrganisationExists(String),
    /// What asks is no session.
    #[error("there is no session to end: this is an API key, or an embedded store")]
    NoSession,
    /// Nobody would be left who may let others in.
    #[error("this is the last admin who can sign in by a password")]
    LastAdmin,
    /// A hash or a token could not be made.
    #[error("{0} failed")]
    Crypto(&'static str),
    /// The database failed.
    #[error("identities could not be read or written")]
    Db(#[from] db::Error),
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::WrongCredentials
            | Self::MustChangePassword
            | Self::BadToken(_)
            | Self::NoToken => ErrorKind::Unauthenticated,
            Self::WeakPassword { .. } | Self::BadField { .. } => ErrorKind::Invalid,
            Self::NoUser(_) | Self::NoKey(_) | Self::NoAbsence(_) => ErrorKind::NotFound,
            Self::UserExists(_)
            | Self::OrganisationExists(_)
            | Self::NoSession
            | Self::LastAdmin
            | Self::Inactive(_) => ErrorKind::Conflict,
            Self::Directory(_) => ErrorKind::Unavailable,
            Self::Crypto(_) => ErrorKind::Internal,
            Self::Db(error) => error.kind(),
        }
    }
    fn code(&self) -> &str {
        match self {
            Self::WrongCredentials => "identity.wrong_credentials",
            Self::MustChangePassword => "identity.must_change_password",
            Self::BadToken(_) => "identity.bad_token",
            Self::NoToken => "identity.no_token",
            Self::WeakPassword { .. } => "identity.weak_password",
            Self::BadField { .. } => "identity.bad_field",
            Self::NoUser(_) => "identity.no_user",
            Self::NoKey(_) => "identity.no_key",
            Self::NoAbsence(_) => "identity.no_absence",
            Self::Inactive(_) => "identity.inactive",
            Self::Directory(_) => "identity.directory",
            Self::UserExists(_) => "identity.user_exists",
            Self::OrganisationExists(_) => "identity.organisation_exists",
            Self::NoSession => "identity.no_session",
            Self::LastAdmin => "identity.last_admin",
            Self::Crypto(_) => "identity.crypto",
            Self::Db(error) => error.code(),
        }
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some(match self {
            Self::WrongCredentials => {
                "check both; an admin can set a new password, or unlock the account".into()
            }
            Self::MustChangePassword => {
                "sign in again with the new one beside it (`new_password`)".into()
            }
            Self::BadToken(_) | Self::NoToken => {
                "sign in (`databridge login`) or use an API key".into()
            }
            Self::LastAdmin => "make somebody else an admin first, with a password".into(),
            Self::NoUser(_) => "`databridge user list` shows who there is".into(),
            Self::NoAbsence(_) => "`databridge away list` shows what there is".into(),
            Self::Inactive(_) => {
                "activate them first: old keys stay dead, new ones can be made".into()
            }
            Self::Directory(_) => {
                "try again; the daemon's log says what each server answered".into()
            }
            Self::WeakPassword { .. } => "choose a longer one, a sentence for instance".into(),
            Self::BadField { field, .. } => format!("give another {field}").into(),
            Self::NoKey(_) => "`databridge token list` shows which there are".into(),
            Self::UserExists(_) => "choose another name, or give that person the role".into(),
            Self::OrganisationExists(_) => "choose another short name".into(),
            Self::NoSession => {
                "revoke the key (`databridge token revoke`), or end everything by `everywhere`"
                    .into()
            }
            Self::Crypto(_) => "please report it, with the log".into(),
            Self::Db(error) => return error.hint(),
        })
    }
}
