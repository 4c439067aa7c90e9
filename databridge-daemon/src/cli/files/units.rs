//! Amounts as people type them.

use std::num::NonZeroUsize;
use std::time::Duration;

use time::{OffsetDateTime, Time, UtcOffset};

/// Bytes, with k, M, G or T for thousands.
pub fn rate(text: &str) -> Result<u64, String> {
    let (number, factor) = match text.trim_end_matches(['B', 'b']).char_indices().last() {
        Some((i, 'k' | 'K')) => (&text[..i], 1e3),
        Some((i, 'm' | 'M')) => (&text[..i], 1e6),
        Some((i, 'g' | 'G')) => (&text[..i], 1e9),
        Some((i, 't' | 'T')) => (&text[..i], 1e12),
        _ => (text, 1.0),
    };
    match number.parse::<f64>() {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok(n) if n > 0.0 && n.is_finite() => Ok(((n * factor) as u64).max(1)),
        _ => Err("write it as 200M or 1.5G".into()),
    }
}

/// How many at a time.
pub fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "write a whole number, 1 at least".into())
}

/// A span of time: `90s`, `30m`, `6h`, `14d`.
pub fn span(text: &str) -> Result<Duration, String> {
    let wrong = || "write it as 90s, 30m, 6h or 14d".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// How long it is until this time of day: today, or tomorrow if that is over.
pub fn until(text: &str) -> Result<Duration, String> {
    let now = OffsetDateTime::now_utc();
    let offset = UtcOffset::local_offset_at(now)
        .map_err(|_| "the local time zone is not known here: use --for".to_owned())?;
    until_from(text, now.to_offset(offset).time())
}

fn until_from(text: &str, now: Time) -> Result<Duration, String> {
    let wrong = || "write it as 07:00".to_owned();
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let [hour, minute] = [hour, minute].map(str::parse::<u8>);
    let (hour, minute) = (hour.map_err(|_| wrong())?, minute.map_err(|_| wrong())?);
    let then = Time::from_hms(hour, minute, 0).map_err(|_| wrong())?;
    Ok(now.duration_until(then).unsigned_abs())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rates_are_read() {
        assert_eq!(rate("200M"), Ok(200_000_000));
        assert_eq!(rate("1.5G"), Ok(1_500_000_000));
        assert_eq!(rate("512"), Ok(512));
        assert!(rate("fast").is_err());
        assert!(rate("-1").is_err());
    }

    #[test]
    fn counts_begin_at_one() {
        assert_eq!(count("3").map(NonZeroUsize::get), Ok(3));
        for bad in ["0", "-1", "1.5", "many", ""] {
            assert!(count(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_and_times_of_day_are_read() {
        assert_eq!(span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(span("14d"), Ok(Duration::from_secs(14 * 86_400)));
        for bad in ["", "h", "6", "6w", "-1h", "é"] {
            assert!(span(bad).is_err(), "{bad}");
        }
        let now = Time::from_hms(22, 30, 0).unwrap();
        assert_eq!(until_from("23:00", now), Ok(Duration::from_secs(1800)));
        assert_eq!(until_from("07:00", now), Ok(Duration::from_secs(8 * 3600 + 1800)));
        for bad in ["7", "24:00", "07:60", "a:b"] {
            assert!(until_from(bad, now).is_err(), "{bad}");
        }
    }
}
