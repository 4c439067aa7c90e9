//! What ClamAV's answers mean, the daemon's and the program's.

use time::PrimitiveDateTime;
use time::macros::format_description;

use crate::base::clock::Timestamp;
use crate::media::scan::{EngineInfo, Reason, Verdict};

/// `stream: OK`, `fd[12]: Name FOUND`, `fd[12]: Message ERROR`, or an error
/// without the part before the colon. Anything else is an error.
pub fn verdict(reply: &str) -> Verdict {
    let result = reply.split_once(": ").map_or(reply, |(_, result)| result).trim();
    if matches!(result, "OK" | "Empty file") && reply != result {
        return Verdict::Clean;
    }
    if let Some(name) = result.strip_suffix(" FOUND") {
        return found(name);
    }
    let lower = result.to_ascii_lowercase();
    if lower.contains("size limit exceeded") || lower == "excluded" {
        return Verdict::not_scanned(Reason::TooLarge);
    }
    if lower.contains("timed out") || lower.contains("time limit") {
        return Verdict::not_scanned(Reason::TimedOut);
    }
    Verdict::error(format!("ClamAV answered {reply:?}"))
}

/// Two families of heuristics are no malware but the engine's way to say that
/// it did not look.
fn found(name: &str) -> Verdict {
    if name.starts_with("Heuristics.Limits.") {
        Verdict::not_scanned(Reason::Limits)
    } else if name.starts_with("Heuristics.Encrypted.") {
        Verdict::not_scanned(Reason::Encrypted)
    } else {
        Verdict::Infected { name: name.to_owned() }
    }
}

/// `ClamAV 1.4.3/27800/Sun Oct 12 09:30:00 2025`; the last two are absent where
/// the daemon has no official signatures. The date is the daemon's local time
/// and read as UTC, which errs by half a day at most.
pub fn version(name: &str, reply: &str) -> EngineInfo {
    let mut parts = reply.splitn(3, '/').map(str::trim);
    let engine = parts.next().unwrap_or_default();
    let signatures = parts.next().filter(|version| !version.is_empty());
    let date = parts.next().and_then(date);
    EngineInfo {
        name: name.into(),
        version: engine.strip_prefix("ClamAV ").unwrap_or(engine).into(),
        signature_version: signatures.map(str::to_owned),
        signature_date: date,
        antivirus: true,
    }
}

fn date(text: &str) -> Option<Timestamp> {
    let format = format_description!(
        "[weekday repr:short] [month repr:short] [day padding:none] [hour]:[minute]:[second] [year]"
    );
    // ctime(3) pads the day with a blank.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let time = PrimitiveDateTime::parse(&text, format).ok()?;
    Some(Timestamp::from(time.assume_utc()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers() {
        let not = Verdict::not_scanned;
        for (reply, expected) in [
            ("stream: OK", Verdict::Clean),
            ("fd[13]: OK", Verdict::Clean),
            ("/proc/1/fd/7: Empty file", Verdict::Clean),
            ("/proc/1/fd/7: Excluded", not(Reason::TooLarge)),
            ("fd[13]: Win.Test-1 FOUND", Verdict::Infected { name: "Win.Test-1".into() }),
            ("stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND", not(Reason::Limits)),
            ("stream: Heuristics.Encrypted.Zip FOUND", not(Reason::Encrypted)),
            ("INSTREAM size limit exceeded. ERROR", not(Reason::TooLarge)),
            ("COMMAND READ TIMED OUT", not(Reason::TimedOut)),
        ] {
            assert_eq!(verdict(reply), expected, "{reply}");
        }
        for reply in ["", "OK", "UNKNOWN COMMAND", "fd[1]: lstat() failed ERROR", "x: OK then"] {
            assert!(matches!(verdict(reply), Verdict::Error { .. }), "{reply}");
        }
    }

    #[test]
    fn versions() {
        let full = version("clamd", "ClamAV 1.4.3/27800/Sun Oct  5 09:30:00 2025");
        assert_eq!(
            (full.version.as_str(), full.signature_version.as_deref()),
            ("1.4.3", Some("27800"))
        );
        assert_eq!(full.signature_date.unwrap().to_string(), "2025-10-05T09:30:00Z");
        let bare = version("clamd", "ClamAV 1.4.6");
        assert_eq!(
            (bare.version.as_str(), bare.signature_version, bare.signature_date),
            ("1.4.6", None, None)
        );
    }

    proptest! {
        #[test]
        fn only_ok_is_clean(reply in ".{0,80}") {
            if verdict(&reply).is_clean() {
                let said = reply.trim_end();
                prop_assert!(said.ends_with(": OK") || said.ends_with(": Empty file"));
            }
            let _ = version("clamd", &reply);
        }
    }
}
