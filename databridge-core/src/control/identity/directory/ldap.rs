//! The directory by LDAP (RFC 4511).

use std::sync::Arc;
use std::time::Duration;

use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, Scope, SearchEntry, SearchOptions, dn_escape,
    ldap_escape,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tracing::warn;

use super::{Nested, Person, Settings, same_dn};

/// Groups of groups are followed so far; more is a mistake, or a circle.
const DEEPEST: usize = 10;
/// Groups of one person.
const MOST_GROUPS: usize = 2000;
/// `LDAP_MATCHING_RULE_IN_CHAIN` (MS-ADTS 3.1.1.3.4.4).
const IN_CHAIN: &str = "1.2.840.113556.1.4.1941";

/// Result codes (RFC 4511, 4.1.9) that we tell apart.
mod code {
    pub const SUCCESS: u32 = 0;
    pub const SIZE_LIMIT: u32 = 4;
    pub const NO_SUCH_OBJECT: u32 = 32;
    pub const INVALID_DN: u32 = 34;
    pub const INAPPROPRIATE_AUTH: u32 = 48;
    pub const INVALID_CREDENTIALS: u32 = 49;
}

/// Why a server was of no use, in words for the log.
type Failure = String;

#[derive(Clone)]
pub(super) struct Client {
    settings: Arc<Settings>,
    tls: Arc<ClientConfig>,
    secret: Option<String>,
}

fn tls(settings: &Settings) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    match &settings.ca_file {
        Some(file) => {
            let bad = |e: &dyn std::fmt::Display| format!("ca_file {}: {e}", file.display());
            for certificate in CertificateDer::pem_file_iter(file).map_err(|e| bad(&e))? {
                roots.add(certificate.map_err(|e| bad(&e))?).map_err(|e| bad(&e))?;
            }
            if roots.is_empty() {
                return Err(bad(&"it holds no certificate"));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

impl Client {
    pub fn open(settings: Arc<Settings>) -> Result<Self, Failure> {
        let (tls, secret) = (Arc::new(tls(&settings)?), settings.secret()?);
        Ok(Self { settings, tls, secret })
    }

    /// Who `username` is; with a password only if it is theirs. The first server that
    /// has an answer gives it.
    pub async fn person(
        &self,
        username: &str,
        password: Option<&str>,
    ) -> Result<Option<Person>, Failure> {
        let mut last = "there is no server".to_owned();
        for server in &self.settings.servers {
            let patience = Duration::from_secs(self.settings.timeout_seconds);
            let asked = self.person_at(server, username, password);
            match tokio::time::timeout(patience, asked).await {
                Ok(Ok(person)) => return Ok(person),
                Ok(Err(failure)) => last = format!("{server}: {failure}"),
                Err(_) => last = format!("{server}: no answer within {} s", patience.as_secs()),
            }
            warn!(failure = last, "a directory server is of no use");
        }
        Err(last)
    }

    async fn connect(&self, server: &str) -> Result<Ldap, Failure> {
        let start_tls = self.settings.start_tls && server.starts_with("ldap://");
        let settings = LdapConnSettings::new()
            .set_conn_timeout(Duration::from_secs(self.settings.timeout_seconds))
            .set_starttls(start_tls)
            .set_config(self.tls.clone());
        let (connection, ldap) =
            LdapConnAsync::with_settings(settings, server).await.map_err(|e| e.to_string())?;
        tokio::spawn(connection.drive());
        Ok(ldap)
    }

    async fn person_at(
        &self,
        server: &str,
        username: &str,
        password: Option<&str>,
    ) -> Result<Option<Person>, Failure> {
        let mut ldap = self.connect(server).await?;
        let found = match (&self.settings.user_dn, password) {
            (Some(template), Some(password)) => {
                let dn = template.replace("{username}", &dn_escape(username));
                if !bind(&mut ldap, &dn, password).await? {
                    return Ok(None);
                }
                self.entry(&mut ldap, &dn, Scope::Base, "(objectClass=*)").await?
            }
            _ => {
                let dn = self.settings.bind_dn.as_deref().unwrap_or_default();
                let secret = self.secret.as_deref().unwrap_or_default();
                if !bind(&mut ldap, dn, secret).await? {
                    return Err(format!("{dn} is not let in to look people up"));
                }
                let base = self.settings.user_base.as_deref().unwrap_or_default();
                let filter =
                    self.settings.user_filter.replace("{username}", &ldap_escape(username));
                let found = self.entry(&mut ldap, base, Scope::Subtree, &filter).await?;
                if let (Some(entry), Some(password)) = (&found, password) {
                    // On a connection of its own: the first still has to look at groups.
                    let mut theirs = self.connect(server).await?;
                    let right = bind(&mut theirs, &entry.dn, password).await?;
                    let _ = theirs.unbind().await;
                    if !right {
                        return Ok(None);
                    }
                }
                found
            }
        };
        let Some(entry) = found else { return Ok(None) };
        let groups = self.groups(&mut ldap, username, &entry).await?;
        let _ = ldap.unbind().await;
        let roles = self.settings.roles_of(&groups);
        if roles.is_empty() {
            warn!(username, dn = entry.dn, "no group of this person gives a role: not let in");
            return Ok(None);
        }
        let first = |name: &str| attribute(&entry, name).first().map(|s| (*s).to_owned());
        Ok(Some(Person {
            display_name: first(&self.settings.name_attribute)
                .unwrap_or_else(|| username.to_owned()),
            mail: first(&self.settings.mail_attribute),
            dn: entry.dn,
            roles,
        }))
    }

    /// The one entry that the filter finds; two are nobody.
    async fn entry(
        &self,
        ldap: &mut Ldap,
        base: &str,
        scope: Scope,
        filter: &str,
    ) -> Result<Option<SearchEntry>, Failure> {
        let Settings { name_attribute, mail_attribute, .. } = &*self.settings;
        let wanted = [name_attribute.as_str(), mail_attribute.as_str(), "memberOf"];
        let mut found = search(ldap, base, scope, filter, &wanted, 2).await?;
        if found.len() > 1 {
            warn!(base, "more than one entry has this name: nobody is let in by it");
            return Ok(None);
        }
        Ok(found.pop())
    }

    /// Every group that counts, as [`same_dn`] has it.
    async fn groups(
        &self,
        ldap: &mut Ldap,
        username: &str,
        entry: &SearchEntry,
    ) -> Result<Vec<String>, Failure> {
        let mut groups: Vec<String> =
            attribute(entry, "memberOf").into_iter().map(same_dn).collect();
        let Some(base) = &self.settings.group_base else { return Ok(groups) };
        let mut frontier = vec![entry.dn.clone()];
        for depth in 0..DEEPEST {
            let mut next = Vec::new();
            for dn in frontier {
                let dn = ldap_escape(dn);
                let filter = match self.settings.nested {
                    Nested::Rule => format!("(member:{IN_CHAIN}:={dn})"),
                    _ => self
                        .settings
                        .group_filter
                        .replace("{dn}", &dn)
                        .replace("{username}", &ldap_escape(username)),
                };
                for group in search(ldap, base, Scope::Subtree, &filter, &["1.1"], 0).await? {
                    let name = same_dn(&group.dn);
                    if !groups.contains(&name) {
                        groups.push(name);
                        next.push(group.dn);
                    }
                }
            }
            // What only `memberOf` told is the beginning of the walk, too.
            if depth == 0 && self.settings.nested == Nested::Walk {
                next.extend(attribute(entry, "memberOf").into_iter().map(str::to_owned));
            }
            if self.settings.nested != Nested::Walk || next.is_empty() || groups.len() > MOST_GROUPS
            {
                break;
            }
            frontier = next;
        }
        Ok(groups)
    }
}

/// Whether the name and the password belong together.
async fn bind(ldap: &mut Ldap, dn: &str, password: &str) -> Result<bool, Failure> {
    // RFC 4513, 5.1: without either it would be nobody's visit, and succeed.
    if dn.is_empty() || password.is_empty() {
        return Ok(false);
    }
    let result = ldap.simple_bind(dn, password).await.map_err(|e| e.to_string())?;
    match result.rc {
        code::SUCCESS => Ok(true),
        code::INVALID_CREDENTIALS
        | code::INAPPROPRIATE_AUTH
        | code::INVALID_DN
        | code::NO_SUCH_OBJECT => Ok(false),
        other => Err(format!("the bind ended with code {other}: {}", result.text)),
    }
}

async fn search(
    ldap: &mut Ldap,
    base: &str,
    scope: Scope,
    filter: &str,
    wanted: &[&str],
    most: i32,
) -> Result<Vec<SearchEntry>, Failure> {
    let options = SearchOptions::new().sizelimit(most);
    let found = ldap.with_search_options(options).search(base, scope, filter, wanted.to_vec());
    let ldap3::SearchResult(entries, result) = found.await.map_err(|e| e.to_string())?;
    match result.rc {
        code::SUCCESS | code::NO_SUCH_OBJECT | code::SIZE_LIMIT => {}
        other => return Err(format!("the search ended with code {other}: {}", result.text)),
    }
    let entries = entries.into_iter().filter(|e| !e.is_ref() && !e.is_intermediate());
    Ok(entries.map(SearchEntry::construct).collect())
}

/// An attribute's values, however its name is written.
fn attribute<'a>(entry: &'a SearchEntry, name: &str) -> Vec<&'a str> {
    let of = |(known, values): (&'a String, &'a Vec<String>)| {
        known.eq_ignore_ascii_case(name).then(|| values.iter().map(String::as_str))
    };
    entry.attrs.iter().filter_map(of).flatten().collect()
}
