//! A receipt as a page for people.

use std::fmt::{self, Write};

use super::{Approval, Authority, Override, Receipt};
use crate::media::scan::{Accept, Verdict};

/// Everything that the receipt says, one fact a line. Control characters in
/// names and reasons are escaped, so that no text can forge a line.
pub fn text(receipt: &Receipt) -> String {
    Page(receipt).to_string()
}

struct Page<'a>(&'a Receipt);

/// Text that somebody wrote.
pub(super) struct Said<'a>(pub &'a str);

/// `not_scanned(too_large), suspicious(odd)`.
fn reasons(accept: &Accept) -> String {
    let reasons = accept.reasons.iter().map(|reason| Verdict::not_scanned(*reason).to_string());
    let rules = accept.rules.iter().map(|rule| format!("suspicious({rule})"));
    reasons.chain(rules).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            // Direction marks reorder what a terminal shows.
            let is_mark = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if c.is_control() || is_mark {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.approvals(f)?;
        self.overrides(f)?;
        self.scan(f)?;
        self.copy(f)?;
        self.proof(f)
    }
}

impl Page<'_> {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Receipt { transfer, manifest, .. } = self.0;
        writeln!(f, "Receipt of {}", Said(&transfer.code))?;
        writeln!(f)?;
        writeln!(f, "Title       {}", Said(&transfer.title))?;
        writeln!(f, "Project     {}", Said(&transfer.project))?;
        writeln!(f, "Category    {}", Said(&transfer.category))?;
        if let Some(path) = &transfer.path {
            writeln!(f, "Path        {}", Said(path))?;
        }
        for (name, value) in &transfer.metadata {
            writeln!(f, "{:<11} {}", Said(name).to_string(), Said(value))?;
        }
        writeln!(f, "Revision    {}", transfer.revision)?;
        writeln!(f, "Id          {}", Said(&transfer.id))?;
        writeln!(f, "Content     {} files, {} bytes", manifest.file_count, manifest.total_bytes)?;
        writeln!(f, "Manifest    sha256:{}", manifest.sha256)?;
        writeln!(f, "SHA256SUMS  sha256:{}", manifest.sums_sha256)
    }

    fn approvals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nApprovals")?;
        if self.0.approvals.is_empty() {
            writeln!(f, "  none")?;
        }
        for approval in &self.0.approvals {
            let Approval { stage, role, user, on_behalf_of, at, manifest_digest, .. } = approval;
            write!(f, "  {at}  {}: {} as {}", Said(stage), Said(user), Said(role))?;
            if let Some(other) = on_behalf_of {
                write!(f, ", on behalf of {}", Said(other))?;
            }
            if !approval.separation_of_duties {
                f.write_str("; WITHOUT separation of duties")?;
            }
            if *manifest_digest != self.0.manifest.sha256 {
                write!(f, "; OTHER CONTENT, sha256:{manifest_digest}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn overrides(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nOverrides")?;
        if self.0.overrides.is_empty() {
            writeln!(f, "  none")?;
        }
        for Override { what, by, reason, at } in &self.0.overrides {
            writeln!(f, "  {at}  {}: by {}, because: {}", Said(what), Said(by), Said(reason))?;
        }
        Ok(())
    }

    fn scan(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scan = &self.0.scan;
        writeln!(f, "\nScan")?;
        writeln!(f, "  {}  {}", scan.finished_at, Said(&scan.verdict.to_string()))?;
        for engine in &scan.engines {
            write!(f, "  by {} {}", Said(&engine.name), Said(&engine.version))?;
            if let Some(version) = &engine.signature_version {
                write!(f, ", signatures {}", Said(version))?;
            }
            match engine.signature_date {
                Some(date) => write!(f, " of {date}")?,
                None if engine.antivirus => f.write_str(", signatures of unknown date")?,
                None => {}
            }
            writeln!(f, "{}", if engine.antivirus { "" } else { " (no antivirus)" })?;
        }
        if let Some(decision) = &scan.decision {
            let (by, reason) = (Said(&decision.by), Said(&decision.reason));
            writeln!(f, "  {}  passed by decision of {by}, because: {reason}", decision.at)?;
        }
        for (why, files) in &scan.accepted {
            let why = Said(why);
            writeln!(f, "  {files} files that are not clean passed by policy, because: {why}")?;
        }
        for accept in &scan.policy.accept {
            let (extensions, reasons) = (accept.extensions.join(", "), reasons(accept));
            let (extensions, reasons) = (Said(&extensions), Said(&reasons));
            writeln!(f, "  Policy: {extensions} may pass when {reasons}")?;
        }
        if scan.policy.rules_suffice {
            writeln!(f, "  Policy: rules suffice to call a file clean")?;
        }
        if scan.policy.allow_executables {
            writeln!(f, "  Policy: programs and scripts may pass")?;
        }
        for rule in &scan.policy.waived {
            writeln!(f, "  Policy: findings of {} do not count", Said(rule))?;
        }
        match scan.policy.signature_max_age_seconds {
            Some(seconds) => writeln!(f, "  Policy: signatures at most {seconds} seconds old"),
            None => writeln!(f, "  Policy: signatures of any age"),
        }
    }

    fn copy(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let copy = &self.0.copy;
        writeln!(f, "\nCopy")?;
        writeln!(f, "  To {}", Said(&copy.destination))?;
        writeln!(f, "  From {} to {}", copy.started_at, copy.finished_at)?;
        writeln!(f, "  Written {} bytes ({})", copy.written_bytes, Said(&copy.method))?;
        writeln!(f, "  Read back {} bytes ({})", copy.read_back_bytes, Said(&copy.read_back))
    }

    fn proof(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Receipt { ledger, issuer, issued_at, authority, .. } = self.0;
        writeln!(f, "\nIssued")?;
        writeln!(f, "  {issued_at}  by {}, {}", Said(&issuer.host), Said(&issuer.version))?;
        writeln!(f, "  Ledger {} at {} events", Said(&ledger.origin), ledger.size)?;
        writeln!(f, "  Root {}", ledger.root)?;
        match authority {
            Authority::Daemon => writeln!(f, "  Authority: daemon"),
            Authority::Embedded => writeln!(
                f,
                "  Authority: EMBEDDED; the owner of the store could have written anything"
            ),
        }
    }
}
