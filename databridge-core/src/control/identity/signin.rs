//! Signing in by password: here for local accounts, in the directory for its own.
//!
//! Every refusal says the same and takes at least as long, whether the name is unknown,
//! the password wrong or the account locked. Tries are counted in the store before they
//! are looked at, for the account and for the address, so that neither many hosts nor a
//! restart give further ones.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;
use tracing::{info, warn};
use uuid::Uuid;

use super::directory::{Directory, Person, WhenDown};
use super::password::Match;
use super::sessions::{Begun, Session, context, subject};
use super::sql::Credentials;
use super::tokens::Tokens;
use super::users::check_username;
use super::{Error, MATRIX, Permission, password, sql};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::base::id::{OrgId, UserId};
use crate::control::commands::{Store, Unit, exists};
use crate::control::ctx::Ctx;
use crate::media::checksum::Sha256;

/// No refusal comes sooner, so that its time tells nothing.
const FLOOR: Duration = Duration::from_millis(400);

/// How people sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How long an access token holds, in seconds.
    pub access_seconds: u64,
    /// How long a refresh token holds, in seconds.
    pub refresh_seconds: u64,
    /// Failures of one account before it is locked.
    pub lock_after: i64,
    /// Failures from one address before it is locked; 0 is without limit.
    pub lock_address_after: i64,
    /// For how long, in seconds, both as a lock and as the time failures are counted.
    pub lock_seconds: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            access_seconds: 8 * 3600,
            refresh_seconds: 7 * 24 * 3600,
            lock_after: 10,
            lock_address_after: 100,
            lock_seconds: 900,
        }
    }
}

impl Settings {
    pub(super) fn access(&self) -> Duration {
        Duration::from_secs(self.access_seconds)
    }
    pub(super) fn refresh(&self) -> Duration {
        Duration::from_secs(self.refresh_seconds)
    }

    /// What cannot work.
    ///
    /// # Errors
    /// The setting and why.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if !(1..=7 * 24 * 3600).contains(&self.access_seconds) {
            return Err(("signin.access_seconds", "1 to 604800"));
        }
        if self.refresh_seconds < self.access_seconds || self.refresh_seconds > 30 * 24 * 3600 {
            return Err(("signin.refresh_seconds", "access_seconds to 2592000"));
        }
        if self.lock_after < 1 || self.lock_address_after < 0 {
            return Err(("signin.lock_after", "at least 1; an account without a lock is guessed"));
        }
        if !(1..=86_400).contains(&self.lock_seconds) {
            return Err(("signin.lock_seconds", "1 to 86400"));
        }
        Ok(())
    }
}

/// A try to sign in.
#[derive(Clone, Default)]
pub struct Attempt {
    /// Who they say they are.
    pub username: String,
    /// The proof.
    pub password: String,
    /// Changes it on the way.
    pub new_password: Option<String>,
    /// From where.
    pub address: Option<String>,
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Where people come in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Entrance {
    pub(super) store: Store,
    pub(super) tokens: Tokens,
    pub(super) org: OrgId,
    pub(super) settings: Settings,
    pub(super) directory: Option<Directory>,
}

/// Who was proved to be who, and what that changes.
enum Proven {
    Local { user: Credentials, new_hash: Option<String>, rehash: Option<String> },
    Directory { user: Option<Credentials>, person: Person },
}

fn digest(what: &str, text: &str) -> Vec<u8> {
    Sha256::of(format!("{what} {text}").as_bytes()).0.to_vec()
}

impl Entrance {
    /// Over an open store; `directory` is asked before local passwords.
    pub fn new(
        store: Store,
        tokens: Tokens,
        org: OrgId,
        settings: Settings,
        directory: Option<Directory>,
    ) -> Self {
        Self { store, tokens, org, settings, directory }
    }

    /// Signs somebody in; the password may be changed on the way.
    ///
    /// # Errors
    /// [`Error::WrongCredentials`], [`Error::MustChangePassword`],
    /// [`Error::WeakPassword`]; that the directory does not answer.
    pub async fn sign_in(&self, attempt: Attempt) -> Result<Session, AnyError> {
        let begun = Instant::now();
        let answer = self.try_in(attempt).await;
        if matches!(&answer, Err(error) if error.code() == "identity.wrong_credentials") {
            tokio::time::sleep_until(begun + FLOOR).await;
        }
        answer
    }

    async fn try_in(&self, attempt: Attempt) -> Result<Session, AnyError> {
        let username = attempt.username.trim().to_lowercase();
        let tries = self.count(&username, attempt.address.as_deref()).await?;
        if !tries.admitted {
            return Err(Error::WrongCredentials.into());
        }
        // What can be nobody's name is not looked for: a database may not even take it.
        let user = match check_username(&username) {
            Err(_) => None,
            Ok(()) => {
                let mut tx = self.store.db().read().await?;
                sql::credentials(&mut tx, self.org, &username).await?
            }
        };
        let known = user.as_ref().map(|user| user.id);
        match self.prove(&username, attempt, user).await {
            Ok(proven) => self.let_in(&username, proven, &tries).await,
            Err(error) => {
                match error.code() {
                    "identity.wrong_credentials" => {
                        if let (true, Some(id)) = (tries.last, known) {
                            self.tell_locked(id, &username, &tries).await?;
                        }
                    }
                    // Nothing was learned about the password, or it was right.
                    _ => self.take_back(&tries).await?,
                }
                Err(error)
            }
        }
    }

    async fn prove(
        &self,
        username: &str,
        attempt: Attempt,
        user: Option<Credentials>,
    ) -> Result<Proven, AnyError> {
        // RFC 4513, 5.1.2: a directory takes a name without a password for a stranger's
        // visit, and says that it went well.
        if attempt.password.is_empty() {
            return Err(Error::WrongCredentials.into());
        }
        // A local account stays what it is, whoever has its name in the directory; and
        // its password is not told there.
        let here = user.as_ref().is_some_and(|user| user.kind != "directory");
        let Some(directory) = self.directory.as_ref().filter(|_| !here) else {
            return self.prove_here(attempt, user).await;
        };
        if check_username(username).is_err() || user.as_ref().is_some_and(|user| !user.active) {
            return Err(Error::WrongCredentials.into());
        }
        match directory.authenticate(username, &attempt.password).await {
            Ok(Some(_)) if attempt.new_password.is_some() => {
                let reason = "it is the directory's, and is changed there".to_owned();
                let (field, value) = ("new_password", "…".to_owned());
                Err(Error::BadField { field, value, reason }.into())
            }
            Ok(Some(person)) => Ok(Proven::Directory { user, person }),
            Ok(None) => Err(Error::WrongCredentials.into()),
            Err(down) => {
                let local = directory.when_down() == WhenDown::Local
                    && user.as_ref().is_some_and(|user| user.password_hash.is_some());
                if !local {
                    return Err(down);
                }
                warn!(username, "the directory is down: a local password is looked at");
                self.prove_here(attempt, user).await
            }
        }
    }

    async fn prove_here(
        &self,
        attempt: Attempt,
        user: Option<Credentials>,
    ) -> Result<Proven, AnyError> {
        let user = user.filter(|u| u.active);
        let hash = user.as_ref().and_then(|u| u.password_hash.clone());
        let matched = password::matches(attempt.password.clone(), hash).await?;
        let Some(user) = user.filter(|_| matched != Match::No) else {
            return Err(Error::WrongCredentials.into());
        };
        let new_hash = match attempt.new_password {
            None if user.must_change_password => return Err(Error::MustChangePassword.into()),
            None => None,
            Some(new) => {
                password::check_strength(&new)?;
                Some(password::hash(new).await?)
            }
        };
        let rehash = match (matched, &new_hash) {
            (Match::Stale, None) => Some(password::hash(attempt.password).await?),
            _ => None,
        };
        Ok(Proven::Local { user, new_hash, rehash })
    }

    async fn let_in(
        &self,
        username: &str,
        proven: Proven,
        tries: &Tries,
    ) -> Result<Session, AnyError> {
        let id = match &proven {
            Proven::Local { user, .. } => user.id,
            Proven::Directory { user, .. } => user.as_ref().map_or_else(UserId::new, |u| u.id),
        };
        let mut ctx = context(self.org, id, username, Vec::new());
        let mut unit = self.store.begin(&ctx).await?;
        let (mut id, now) = (id, unit.now());
        match proven {
            Proven::Local { user, new_hash, rehash } => {
                if let Some(hash) = new_hash {
                    sql::set_password(unit.tx(), user.id, &hash).await?;
                    sql::end_sessions(unit.tx(), user.id, now).await?;
                    let subject = subject(id, username);
                    unit.record(&subject, "user.password_changed", json!({}));
                } else if let Some(hash) = rehash {
                    sql::rehash(unit.tx(), user.id, &hash).await?;
                    info!(username, "a password hash from elsewhere was replaced");
                }
            }
            Proven::Directory { user, person } => {
                if user.is_none() {
                    id = self.introduce(&mut unit, username, &person).await?;
                    ctx.actor.user_id = id;
                }
                self.take_over(&mut unit, id, username, &person).await?;
            }
        }
        sql::forgive(unit.tx(), self.org, &tries.account).await?;
        if let Some(address) = &tries.address {
            sql::take_back(unit.tx(), self.org, address).await?;
        }
        let begun = Begun { id: Uuid::now_v7(), at: now };
        sql::insert_session(unit.tx(), begun.id, id, now).await?;
        let session = self.issue(&mut unit, begun, id, username).await?;
        unit.record(&subject(id, username), "user.signed_in", json!({ "from": tries.from }));
        unit.commit(()).await?;
        Ok(session)
    }

    /// Somebody whom the directory knows and we do not yet.
    async fn introduce(
        &self,
        unit: &mut Unit,
        username: &str,
        person: &Person,
    ) -> Result<UserId, AnyError> {
        let now = unit.now();
        let row = sql::UserRow {
            username,
            display_name: &person.display_name,
            email: person.mail.as_deref(),
            kind: "directory",
            password_hash: None,
            must_change_password: false,
        };
        let id = match sql::insert_user(unit.tx(), self.org, &row, now).await {
            Err(error) if exists(&error) => {
                return Err(Error::UserExists(username.to_owned()).into());
            }
            other => other?,
        };
        let data = json!({ "kind": "directory", "dn": person.dn });
        unit.record(&subject(id, username), "user.created", data);
        Ok(id)
    }

    /// What the directory says of somebody now: name, mail, roles.
    pub(super) async fn take_over(
        &self,
        unit: &mut Unit,
        id: UserId,
        username: &str,
        person: &Person,
    ) -> Result<(), AnyError> {
        let now = unit.now();
        let mail = person.mail.as_deref();
        sql::describe(unit.tx(), id, &person.display_name, mail).await?;
        let before = sql::directory_roles(unit.tx(), id).await?;
        if before != person.roles {
            sql::set_directory_roles(unit.tx(), self.org, id, &person.roles, now).await?;
            let data = json!({ "before": before, "after": person.roles, "dn": person.dn });
            unit.record(&subject(id, username), "user.directory_roles", data);
        }
        Ok(())
    }
}

/// A try that was counted.
struct Tries {
    account: Vec<u8>,
    address: Option<Vec<u8>>,
    from: Option<String>,
    admitted: bool,
    /// It is the last before the lock.
    last: bool,
}

impl Entrance {
    async fn count(&self, username: &str, from: Option<&str>) -> Result<Tries, AnyError> {
        let account = digest("account", username);
        let address = from.map(|from| digest("address", from));
        let Settings { lock_after, lock_address_after, .. } = self.settings;
        let mut tx = self.store.write().await?;
        let now = tx.now().await?;
        let cutoff = now - Duration::from_secs(self.settings.lock_seconds);
        let mut admitted = true;
        if let Some(address) = address.as_ref().filter(|_| lock_address_after > 0) {
            let most = lock_address_after;
            admitted = sql::count_try(&mut tx, self.org, address, now, cutoff, most).await? <= most;
        }
        let mut last = false;
        // An address that is locked cannot lock accounts.
        if admitted {
            let tries =
                sql::count_try(&mut tx, self.org, &account, now, cutoff, lock_after).await?;
            (admitted, last) = (tries <= lock_after, tries == lock_after);
        }
        tx.commit().await?;
        Ok(Tries { account, address, from: from.map(str::to_owned), admitted, last })
    }

    async fn take_back(&self, tries: &Tries) -> Result<(), AnyError> {
        let mut tx = self.store.write().await?;
        for subject in [Some(&tries.account), tries.address.as_ref()].into_iter().flatten() {
            sql::take_back(&mut tx, self.org, subject).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn tell_locked(&self, id: UserId, username: &str, tries: &Tries) -> Result<(), AnyError> {
        warn!(username, from = tries.from, "an account was locked after too many failures");
        let mut unit = self.store.begin(&Ctx::system(self.org)).await?;
        let until: Timestamp = unit.now() + Duration::from_secs(self.settings.lock_seconds);
        let data =
            json!({ "failures": self.settings.lock_after, "from": tries.from, "until": until });
        unit.record(&subject(id, username), "user.locked", data);
        unit.commit(()).await
    }
}

/// Lets somebody try again whose account was locked by failures.
///
/// # Errors
/// [`Error::NoUser`], or not permitted.
pub async fn unlock(store: &Store, ctx: &Ctx, username: &str) -> Result<(), AnyError> {
    ctx.require(MATRIX, Permission::ManageUsers, None)?;
    let mut unit = store.begin(ctx).await?;
    let org = unit.org();
    let user = sql::user_by_name(unit.tx(), org, username)
        .await?
        .ok_or_else(|| Error::NoUser(username.to_owned()))?;
    sql::forgive(unit.tx(), org, &digest("account", username)).await?;
    unit.record(&subject(user.id, &user.username), "user.unlocked", json!({}));
    unit.commit(()).await
}
