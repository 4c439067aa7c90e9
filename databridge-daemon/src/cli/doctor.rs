//! `databridge doctor` and `databridge config …`: whether a local store can work.

use std::path::Path;

use clap::Subcommand;
use databridge_core::Error;
use databridge_core::app::{App, Config};
use databridge_core::base::clock::Timestamp;
use databridge_core::control::db::Target;
use databridge_core::media::cloud;
use databridge_core::media::scan::{Engines, Policy, Standing};
use databridge_core::media::storage::{Location, Space};
use serde::Serialize;
use tokio::runtime::Runtime;

use super::error::io;
use super::view::{Show, size};
use super::{Global, Outcome};
use crate::http::tls::Tls;
use crate::{config, log};

const DAY_SECONDS: u64 = 86_400;

#[derive(Debug, Subcommand)]
pub enum Settings {
    /// Whether all settings can work.
    Check,
    /// The settings in force, without secrets.
    Show,
}

pub(super) fn load(global: &Global) -> Result<Config, Error> {
    Ok(config::load(global.config.as_deref(), global.data.clone(), None)?)
}

impl Settings {
    pub fn run(self, global: &Global, show: &Show) -> Outcome {
        let config = load(global)?;
        config::check(&config, global.config.as_deref())?;
        match self {
            Self::Check => {
                log::check(&config.log)?;
                Tls::open(&config.tls)?;
                show.document(&serde_json::json!({ "ok": true }));
                show.line("every setting can work");
            }
            Self::Show => {
                show.document(&config);
                let text = serde_json::to_string_pretty(&config).unwrap_or_default();
                show.line(text);
                show.line(format!("database: {}", config.target()));
            }
        }
        Ok(0)
    }
}

#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    ok: bool,
    detail: String,
}

fn finding(what: impl Into<String>, result: Result<String, String>) -> Finding {
    let what = what.into();
    match result {
        Ok(detail) => Finding { what, ok: true, detail },
        Err(detail) => Finding { what, ok: false, detail },
    }
}

/// Looks at everything a store needs; 0 all is well, 5 something is not.
pub fn run(global: &Global, show: &Show) -> Outcome {
    let config = load(global)?;
    config::check(&config, global.config.as_deref())?;
    let places = config.places();
    let mut findings = vec![
        finding("data", folder(&config.data, 0)),
        finding("staging", folder(&places.staging, config.space.staging_reserve_bytes)),
        finding("production", production(&places.production, &config)),
        finding("clock", clock()),
        finding("scanner", scanner(&config)),
    ];
    findings.extend(config.hooks.iter().map(|h| finding(format!("hook {}", h.name), h.look())));
    findings.extend(roots(&config));
    findings.extend(store(config)?);
    show.document(&findings);
    for f in &findings {
        show.line(format!("{:<5} {:<11} {}", if f.ok { "ok" } else { "WRONG" }, f.what, f.detail));
    }
    Ok(if findings.iter().all(|f| f.ok) { 0 } else { 5 })
}

/// Whether it is there, can be written, and how much room it has beyond what is to stay
/// free.
fn folder(path: &Path, reserve_bytes: u64) -> Result<String, String> {
    let shown = path.display();
    if !path.exists() {
        return Ok(format!("{shown} is not there yet: the first start makes it"));
    }
    let probe = path.join(format!(".databridge-doctor-{}", std::process::id()));
    std::fs::write(&probe, b"probe")
        .and_then(|()| std::fs::remove_file(&probe))
        .map_err(|e| format!("{shown} cannot be written: {e}"))?;
    let free = Space::of(path).map_err(|e| format!("{shown}: {e}"))?.free_bytes;
    let reserve = size(reserve_bytes);
    match reserve_bytes {
        0 => Ok(format!("{shown} can be written, {} free", size(free))),
        _ if free <= reserve_bytes => Err(format!(
            "{shown} has {} free and {reserve} are kept in reserve: nothing more fits",
            size(free)
        )),
        _ => Ok(format!(
            "{shown} can be written, {} free, of which {reserve} are kept in reserve",
            size(free)
        )),
    }
}

/// A folder as above; of an object store, whether it can be listed.
fn production(place: &Location, config: &Config) -> Result<String, String> {
    match place {
        Location::Path(path) => folder(path, config.space.production_reserve_bytes),
        Location::Object(at) => match cloud::recorded(&at.child("doctor"), &config.s3, &()) {
            Ok(_) => Ok(format!("{at} answers")),
            Err(error) => Err(error.to_string()),
        },
    }
}

/// The folders from which files may be added by their path.
fn roots(config: &Config) -> Option<Finding> {
    let roots = &config.uploads.add_roots;
    let gone = |root: &&std::path::PathBuf| std::fs::read_dir(root).is_err();
    let shown: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
    let result = match roots.iter().find(gone) {
        Some(root) => Err(format!("{} cannot be listed: is it mounted?", root.display())),
        None => Ok(shown.join(", ")),
    };
    (!roots.is_empty()).then(|| finding("add_roots", result))
}

/// A clock before this program was written is wrong.
fn clock() -> Result<String, String> {
    let now = Timestamp::now();
    if now < Timestamp::from_micros(1_780_000_000_000_000) {
        return Err(format!("it is {now} here, which cannot be"));
    }
    Ok(format!("{now}"))
}

/// Every engine, its signatures and their age, and whether any may say clean.
fn scanner(config: &Config) -> Result<String, String> {
    let standing = Engines::open(&config.scan)
        .and_then(|engines| engines.standing())
        .map_err(|error| databridge_core::Error::from(error).chain())?;
    let shown =
        standing.iter().map(|one| engine(one, &config.scan.policy)).collect::<Vec<_>>().join("; ");
    let antivirus: Vec<&Standing> = standing.iter().filter(|s| s.engine.antivirus).collect();
    if antivirus.is_empty() && config.scan.policy.rules_suffice {
        return Ok(format!("no antivirus answers, and policy says that rules suffice ({shown})"));
    }
    if antivirus.is_empty() {
        return Err(format!("no antivirus answers, so nothing can be called clean ({shown})"));
    }
    if antivirus.iter().any(|s| !s.is_fresh) {
        return Err(format!(
            "the signatures are older than the policy allows, or of unknown age, so nothing can \
             be called clean ({shown})"
        ));
    }
    Ok(shown)
}

fn engine(standing: &Standing, policy: &Policy) -> String {
    let engine = &standing.engine;
    let mut said = format!("{} {}", engine.name, engine.version);
    match &engine.signature_version {
        Some(version) => said.push_str(&format!(", signatures {version:.20}")),
        None if engine.antivirus => said.push_str(", signatures without a version"),
        None => {}
    }
    if let Some(date) = engine.signature_date {
        said.push_str(&format!(" of {date}"));
    }
    if let Some(seconds) = standing.signature_age_seconds {
        said.push_str(&format!(", {} days old", seconds / DAY_SECONDS));
    }
    if engine.antivirus {
        said.push_str(&match policy.signature_max_age_seconds {
            Some(most) => format!(", at most {} days by policy", most / DAY_SECONDS),
            None => ", of any age by policy".into(),
        });
    }
    if let Some(limits) = &standing.limits {
        said.push_str(&format!(", {limits}"));
    }
    said
}

fn store(config: Config) -> Result<Vec<Finding>, Error> {
    let runtime = Runtime::new().map_err(|e| io("start", "the runtime", e))?;
    let target = config.target().to_string();
    // Looking must not make a store.
    if let Target::Sqlite(file) = config.target()
        && !file.exists()
    {
        return Ok(vec![finding("database", Ok(format!("{target} is not there yet")))]);
    }
    let app = match runtime.block_on(App::open(config)) {
        Ok(opened) => opened.app,
        Err(error) => return Ok(vec![finding("database", Err(error.chain()))]),
    };
    let ledger =
        runtime.block_on(app.verify_ledger(&[])).map_err(|e| e.chain()).and_then(|report| {
            match report.findings.len() {
                0 => Ok(format!("{} events, intact", report.events)),
                n => Err(format!("{n} findings: run `databridge ledger verify`")),
            }
        });
    runtime.block_on(app.close());
    Ok(vec![finding("database", Ok(target)), finding("ledger", ledger)])
}
