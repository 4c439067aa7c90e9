//! `databridge scan`

use std::path::PathBuf;

use clap::ValueEnum;
use databridge_core::media::scan::{
    self, Choice, Clamd, ClamdAddress, Engine, Files, Reason, Report, Settings, Verdict,
};
use databridge_core::media::storage::RelPath;
use databridge_core::media::walk;
use serde_json::json;

use super::Outcome;
use super::error::usage;
use super::progress::Terminal;
use super::view::Show;

/// Where Debian's clamd listens.
const CLAMD: &str = "/run/clamav/clamd.ctl";

/// Exit codes: 0 clean, or nothing found where rules were asked for; 1 something was
/// found; 5 the engine had trouble; 6 something was not scanned.
#[derive(Debug, clap::Args)]
pub struct Scan {
    /// Files or folders.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// What may pass and who looks: TOML with the [scan] tables of a daemon's configuration.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The project whose rules of the policy apply.
    #[arg(long, value_name = "CODE", default_value = "", hide_default_value = true)]
    project: String,
    /// The category whose rules of the policy apply.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    category: String,
    /// Which engine must answer; what the policy says, or auto.
    #[arg(long, value_enum)]
    engine: Option<EngineArg>,
    /// clamd's socket, or host:port; what the policy says, or /run/clamav/clamd.ctl.
    #[arg(long, value_name = "ADDRESS")]
    clamd: Option<String>,
    /// clamd's configuration, where that is not in its usual place.
    #[arg(long, value_name = "FILE")]
    clamd_config: Option<PathBuf>,
    /// Signatures for clamscan, where it does not keep them itself.
    #[arg(long, value_name = "DIR")]
    clamscan_database: Option<PathBuf>,
    /// A folder of your own YARA rules.
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Signatures may be of any age.
    #[arg(long)]
    any_signature_age: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineArg {
    /// Rules and content checks: they find, but never say clean.
    Rules,
    /// clamd.
    Clamd,
    /// clamscan.
    Clamscan,
    /// clamd where it answers, else clamscan, else rules.
    Auto,
}

impl Scan {
    pub fn run(self, show: &Show) -> Outcome {
        let settings = self.settings()?;
        let engines = scan::Engines::open(&settings)?;
        let terminal = Terminal::new();
        let mut code = 0;
        for path in &self.paths {
            let (root, files) = self.below(path)?;
            let report = engines.tree(&root, Files::Paths(&files), &terminal)?;
            code = worse(code, exit_code(&report.verdict, settings.engine));
            self::report(show, path, &report);
        }
        Ok(code)
    }

    fn settings(&self) -> Result<Settings, scan::Error> {
        let choice = Choice {
            policy: self.policy.clone(),
            engine: self.engine.map(Engine::from),
            clamd: self.clamd.as_deref().map(str::parse).transpose()?,
            clamd_config: self.clamd_config.clone(),
            clamscan_database: self.clamscan_database.clone(),
            rules_dir: self.rules.clone(),
            any_signature_age: self.any_signature_age,
            project: self.project.clone(),
            category: self.category.clone(),
        };
        let usual = ClamdAddress::Unix(CLAMD.into());
        choice.settings(Settings { clamd: Some(Clamd::at(usual)), ..Settings::default() })
    }

    fn below(
        &self,
        path: &std::path::Path,
    ) -> Result<(PathBuf, Vec<RelPath>), databridge_core::Error> {
        if path.is_dir() {
            let entries = walk::tree(path)?;
            let files = entries.into_iter().filter(|e| e.kind == walk::Kind::File);
            return Ok((path.to_owned(), files.map(|e| e.path).collect()));
        }
        if !path.exists() {
            return Err(usage(
                format!("there is no {}", path.display()),
                "name a file or a folder",
            ));
        }
        let (root, name) = walk::single(path)?;
        Ok((root, vec![name]))
    }
}

impl From<EngineArg> for Engine {
    fn from(engine: EngineArg) -> Self {
        match engine {
            EngineArg::Rules => Self::Rules,
            EngineArg::Clamd => Self::Clamd,
            EngineArg::Clamscan => Self::Clamscan,
            EngineArg::Auto => Self::Auto,
        }
    }
}

fn exit_code(verdict: &Verdict, engine: Engine) -> u8 {
    match verdict {
        Verdict::Clean => 0,
        Verdict::Infected { .. } | Verdict::Suspicious { .. } => 1,
        Verdict::Error { .. } => 5,
        // All that rules could do was done; a rule that ran out of time is something else.
        Verdict::NotScanned { reason: Reason::NoAntivirus } if engine == Engine::Rules => 0,
        Verdict::NotScanned { .. } => 6,
    }
}

/// A finding outweighs trouble, trouble what was not looked at.
fn worse(one: u8, other: u8) -> u8 {
    [1, 5, 6, 0].into_iter().find(|code| one == *code || other == *code).unwrap_or(0)
}

fn report(show: &Show, path: &std::path::Path, report: &Report) {
    show.document(&json!({ "path": path.to_string_lossy(), "report": report }));
    for file in &report.files {
        show.line(format!("{}: {}", file.path, file.verdict));
        for why in file.findings.iter().filter_map(|finding| finding.why.as_ref()) {
            show.line(format!("  {why}"));
        }
    }
    if report.not_named > 0 {
        show.line(format!("and {} more that are not scanned", report.not_named));
    }
    show.line(format!("{}: {}", path.display(), report.verdict));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        let none = Verdict::not_scanned(Reason::NoAntivirus);
        let late = Verdict::not_scanned(Reason::TimedOut);
        let bad = Verdict::Infected { name: "X".into() };
        let odd = Verdict::Suspicious { rule: "x".into() };
        for (verdict, engine, code) in [
            (&Verdict::Clean, Engine::Auto, 0),
            (&none, Engine::Rules, 0),
            (&none, Engine::Auto, 6),
            (&late, Engine::Rules, 6),
            (&bad, Engine::Rules, 1),
            (&odd, Engine::Clamscan, 1),
            (&Verdict::error("no"), Engine::Clamd, 5),
        ] {
            assert_eq!(exit_code(verdict, engine), code, "{verdict} {engine:?}");
        }
    }

    #[test]
    fn findings_outweigh_everything() {
        assert_eq!(worse(6, 1), 1);
        assert_eq!(worse(6, 5), 5);
        assert_eq!(worse(0, 6), 6);
        assert_eq!(worse(0, 0), 0);
    }
}
