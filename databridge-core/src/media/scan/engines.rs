//! The engines of one configuration, and what their words add up to.

use super::{
    Content, Engine, EngineInfo, Error, Finding, Policy, Reason, Scanner, Settings, Standing,
    Verdict,
};
use crate::base::clock::Timestamp;
use crate::media::checksum::Sha256;
use crate::media::storage::RelPath;

/// Signatures from further in the future mean that a clock is wrong.
const CLOCK_SLACK: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Engines, open and with their rules compiled.
pub struct Engines {
    pub(super) scanners: Vec<Box<dyn Scanner>>,
    pub(super) settings: Settings,
}

/// What the engines were, and were worth, when a scan began.
#[derive(Debug, Clone)]
pub(super) struct Bench {
    pub engines: Vec<EngineInfo>,
    pub policy: Policy,
    now: Timestamp,
}

impl Engines {
    /// Compiles the rules and looks for the antivirus as `settings` say.
    ///
    /// # Errors
    /// [`Error::EngineGone`] where clamd is asked for and does not answer,
    /// [`Error::NotBuilt`] and [`Error::Rules`].
    pub fn open(settings: &Settings) -> Result<Self, Error> {
        let mut scanners: Vec<Box<dyn Scanner>> = vec![Box::new(Content::new(settings))];
        scanners.extend(rules(settings)?);
        scanners.extend(antivirus(settings)?);
        Ok(Self::with(settings, scanners))
    }

    /// Engines of the caller's own.
    pub fn with(settings: &Settings, scanners: Vec<Box<dyn Scanner>>) -> Self {
        Self { scanners, settings: settings.clone() }
    }

    /// What the engines are and know now.
    ///
    /// # Errors
    /// [`Error::EngineGone`].
    pub fn info(&self) -> Result<Vec<EngineInfo>, Error> {
        self.scanners.iter().map(|scanner| scanner.info()).collect()
    }

    /// The same with the age of their signatures, for people and monitoring.
    ///
    /// # Errors
    /// [`Error::EngineGone`].
    pub fn standing(&self) -> Result<Vec<Standing>, Error> {
        let bench = self.bench()?;
        let standing = bench.engines.iter().zip(&self.scanners).map(|(engine, scanner)| Standing {
            limits: scanner.limits(),
            signature_age_seconds: engine.signature_date.map(|at| bench.now.since(at).as_secs()),
            is_fresh: !engine.antivirus || !bench.is_stale(engine),
            engine: engine.clone(),
        });
        Ok(standing.collect())
    }

    pub(super) fn bench(&self) -> Result<Bench, Error> {
        let waived = self.settings.content.waive.clone();
        Ok(Bench {
            engines: self.info()?,
            policy: Policy { waived, ..self.settings.policy.clone() },
            now: Timestamp::now(),
        })
    }
}

#[cfg(feature = "yara")]
fn rules(settings: &Settings) -> Result<Option<Box<dyn Scanner>>, Error> {
    Ok(Some(Box::new(super::Rules::open(settings)?)))
}

#[cfg(not(feature = "yara"))]
fn rules(settings: &Settings) -> Result<Option<Box<dyn Scanner>>, Error> {
    match settings.rules_dir {
        None => Ok(None),
        Some(_) => Err(Error::NotBuilt { engine: "yara" }),
    }
}

#[cfg(feature = "clamav")]
fn antivirus(settings: &Settings) -> Result<Option<Box<dyn Scanner>>, Error> {
    let clamd = || match &settings.clamd {
        None => Err(Error::Setting { what: "clamd address", text: String::new() }),
        Some(clamd) => {
            super::ClamdClient::connect(clamd).map(|client| Box::new(client) as Box<dyn Scanner>)
        }
    };
    let clamscan = || {
        super::ClamscanClient::start(&settings.clamscan, settings.file_timeout())
            .map(|client| Box::new(client) as Box<dyn Scanner>)
    };
    match settings.engine {
        Engine::Rules => Ok(None),
        Engine::Clamd => clamd().map(Some),
        Engine::Clamscan => clamscan().map(Some),
        Engine::Auto => match passed_over(clamd()) {
            Some(client) => Ok(Some(client)),
            None => Ok(passed_over(clamscan())),
        },
    }
}

/// What `auto` looks beyond.
#[cfg(feature = "clamav")]
fn passed_over(found: Result<Box<dyn Scanner>, Error>) -> Option<Box<dyn Scanner>> {
    found
        .inspect_err(|error| {
            tracing::warn!(error = %error, cause = ?std::error::Error::source(error), "scan goes on without this antivirus");
        })
        .ok()
}

#[cfg(not(feature = "clamav"))]
fn antivirus(settings: &Settings) -> Result<Option<Box<dyn Scanner>>, Error> {
    match settings.engine {
        Engine::Clamd | Engine::Clamscan => Err(Error::NotBuilt { engine: "clamav" }),
        Engine::Rules | Engine::Auto => Ok(None),
    }
}

impl Bench {
    fn engine(&self, name: &str) -> Option<&EngineInfo> {
        self.engines.iter().find(|engine| engine.name == name)
    }

    fn has_antivirus(&self) -> bool {
        self.engines.iter().any(|engine| engine.antivirus)
    }

    /// The policy lets rules suffice, and there are rules.
    fn rules_suffice(&self) -> bool {
        self.policy.rules_suffice && self.engine("rules").is_some()
    }

    fn is_stale(&self, engine: &EngineInfo) -> bool {
        let Some(max_age) = self.policy.signature_max_age_seconds else { return false };
        engine.signature_date.is_none_or(|date| {
            self.now.since(date).as_secs() > max_age || date.since(self.now) > CLOCK_SLACK
        })
    }

    /// What a tree without any file is.
    pub(super) fn baseline(&self) -> Verdict {
        let silent = |engine: &EngineInfo| match engine.antivirus {
            true => Verdict::Clean,
            false => Verdict::not_scanned(Reason::NoAntivirus),
        };
        let said = self.engines.iter().map(|engine| Finding {
            engine: engine.name.clone(),
            verdict: silent(engine),
            why: None,
        });
        self.conclude(&said.collect::<Vec<_>>()).0
    }

    /// What counts of all that was said about a file, and who said it.
    pub(super) fn conclude(&self, findings: &[Finding]) -> (Verdict, String) {
        let worst = findings
            .iter()
            .filter_map(|finding| Some((self.weigh(finding)?, finding.engine.clone())))
            .reduce(|worst, next| if next.0 > worst.0 { next } else { worst });
        worst.unwrap_or_else(|| (Verdict::error("no engine looked"), String::new()))
    }

    /// Why the policy lets a file pass that is not clean.
    pub(super) fn accepted(
        &self,
        path: &RelPath,
        verdict: &Verdict,
        findings: &[Finding],
    ) -> Option<String> {
        if verdict.is_clean() {
            return None;
        }
        let said: Vec<Verdict> = findings.iter().filter_map(|said| self.weigh(said)).collect();
        let accept = self.policy.accept.iter().find(|accept| accept.covers(path, &said));
        accept.map(|accept| accept.why.clone())
    }

    /// Digest of everything that verdicts rest on but the files themselves.
    pub(super) fn basis(&self, settings: &Settings) -> Sha256 {
        let limits = settings.clamd.as_ref().and_then(|clamd| clamd.max_file_size_bytes);
        let basis = serde_json::json!({
            "engines": self.engines, "policy": self.policy, "limits": limits,
            "clamscan": settings.clamscan, "content": settings.content,
            "whole": settings.rules_whole_bytes, "read": settings.rules_read_bytes,
        });
        Sha256::of(basis.to_string().as_bytes())
    }

    /// What one engine's word is worth beside the others; `None` where it adds
    /// nothing to what an antivirus says.
    fn weigh(&self, finding: &Finding) -> Option<Verdict> {
        let antivirus = self.engine(&finding.engine).filter(|engine| engine.antivirus);
        Some(match (&finding.verdict, antivirus) {
            (Verdict::Clean, Some(engine)) if self.is_stale(engine) => {
                Verdict::not_scanned(Reason::StaleSignatures)
            }
            (verdict, Some(_)) => verdict.clone(),
            // An engine that is no antivirus and read all or only a part.
            (
                Verdict::Clean
                | Verdict::NotScanned { reason: Reason::NoAntivirus | Reason::TooLarge },
                None,
            ) if self.has_antivirus() => return None,
            (Verdict::NotScanned { reason: Reason::TooLarge }, None) if self.rules_suffice() => {
                finding.verdict.clone()
            }
            (Verdict::Clean | Verdict::NotScanned { reason: Reason::NoAntivirus }, None)
                if self.rules_suffice() =>
            {
                Verdict::Clean
            }
            (
                Verdict::Clean
                | Verdict::NotScanned { reason: Reason::NoAntivirus | Reason::TooLarge },
                None,
            ) => Verdict::not_scanned(Reason::NoAntivirus),
            (verdict, None) => verdict.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn engine(name: &str, antivirus: bool, age_days: Option<u64>) -> EngineInfo {
        let ago = |days| Timestamp::now() - std::time::Duration::from_secs(days * 86_400);
        EngineInfo {
            name: name.into(),
            version: "1".into(),
            signature_version: None,
            signature_date: age_days.map(ago),
            antivirus,
        }
    }

    fn conclude(engines: &[EngineInfo], policy: &Policy, said: &[(&str, Verdict)]) -> Verdict {
        let bench =
            Bench { engines: engines.into(), policy: policy.clone(), now: Timestamp::now() };
        let findings: Vec<_> = said
            .iter()
            .map(|(engine, verdict)| Finding {
                engine: (*engine).into(),
                verdict: verdict.clone(),
                why: None,
            })
            .collect();
        bench.conclude(&findings).0
    }

    #[test]
    fn only_a_fresh_antivirus_says_clean() {
        let policy = Policy::default();
        let none = Verdict::not_scanned(Reason::NoAntivirus);
        let stale = Verdict::not_scanned(Reason::StaleSignatures);
        let said = [("rules", none.clone()), ("av", Verdict::Clean)];
        let av = |age| [engine("rules", false, None), engine("av", true, age)];
        assert_eq!(conclude(&av(Some(1)), &policy, &said), Verdict::Clean);
        assert_eq!(conclude(&av(Some(8)), &policy, &said), stale);
        assert_eq!(conclude(&av(None), &policy, &said), stale);
        let any_age = Policy { signature_max_age_seconds: None, ..policy.clone() };
        assert_eq!(conclude(&av(None), &any_age, &said), Verdict::Clean);
        let rules = [engine("rules", false, None)];
        assert_eq!(
            conclude(&rules, &policy, &[("rules", none)]),
            Verdict::not_scanned(Reason::NoAntivirus)
        );
        assert_eq!(
            conclude(&rules, &policy, &[("rules", Verdict::Clean)]),
            Verdict::not_scanned(Reason::NoAntivirus),
            "a rule engine that lies about itself"
        );
        assert!(matches!(conclude(&rules, &policy, &[]), Verdict::Error { .. }));
    }

    #[test]
    fn rules_suffice_only_for_what_they_read_whole() {
        let policy = Policy { rules_suffice: true, ..Policy::default() };
        let rules = [engine("content", false, None), engine("rules", false, None)];
        let none = Verdict::not_scanned(Reason::NoAntivirus);
        let part = Verdict::not_scanned(Reason::TooLarge);
        let said = |rules: &Verdict| [("content", none.clone()), ("rules", rules.clone())];
        assert_eq!(conclude(&rules, &policy, &said(&none)), Verdict::Clean);
        assert_eq!(conclude(&rules, &policy, &said(&part)), part);
        let content = [engine("content", false, None)];
        assert_eq!(conclude(&content, &policy, &[("content", none.clone())]), none);
    }

    #[test]
    fn a_rule_outweighs_a_clean_antivirus_and_a_stale_one_still_finds() {
        let policy = Policy::default();
        let engines = [engine("rules", false, None), engine("av", true, Some(1))];
        let odd = Verdict::Suspicious { rule: "odd".into() };
        let said = [("rules", odd.clone()), ("av", Verdict::Clean)];
        assert_eq!(conclude(&engines, &policy, &said), odd);
        let late = Verdict::not_scanned(Reason::TimedOut);
        let said = [("rules", late.clone()), ("av", Verdict::Clean)];
        assert_eq!(conclude(&engines, &policy, &said), late);
        let bad = Verdict::Infected { name: "X".into() };
        let old = [engine("rules", false, None), engine("av", true, Some(400))];
        assert_eq!(conclude(&old, &policy, &[("av", bad.clone())]), bad);
    }

    #[test]
    fn severity_is_ordered() {
        let order = [
            Verdict::Clean,
            Verdict::not_scanned(Reason::NoAntivirus),
            Verdict::Suspicious { rule: "r".into() },
            Verdict::error("e"),
            Verdict::Infected { name: "n".into() },
        ];
        assert!(order.is_sorted());
    }
}
