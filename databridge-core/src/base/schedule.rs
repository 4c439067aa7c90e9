//! Hours of the week in which something may happen.

use std::fmt;
use std::str::FromStr;

use super::clock::Timestamp;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY_MINUTES: u16 = 24 * 60;
const MINUTE_MICROS: i64 = 60_000_000;

/// Windows of a week, in UTC or at a fixed offset from it: summer time would make
/// some nights an hour longer than anybody planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    windows: Vec<Window>,
    offset_minutes: i16,
}

/// One window, which belongs to the days on which it begins: `mon-fri 19:00-07:00`,
/// `sat,sun` (all day), `22:00-06:00` (every day).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    days: [bool; 7],
    /// Minutes from midnight, the first inside and the first outside; the second is
    /// not after the first where the window ends on the next day.
    from: u16,
    to: u16,
}

/// A window that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no time window ({reason}); write it as \"mon-fri 19:00-07:00\"")]
pub struct Unreadable {
    text: String,
    reason: &'static str,
}

fn day(name: &str) -> Result<usize, &'static str> {
    let name = name.trim().to_ascii_lowercase();
    DAYS.iter().position(|day| *day == name).ok_or("days are mon, tue, wed, thu, fri, sat, sun")
}

fn days(text: &str) -> Result<[bool; 7], &'static str> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(part)?, day(part)?),
        };
        // From Friday to Monday is over the weekend.
        let length = (last + 7 - first) % 7;
        (0..=length).for_each(|step| days[(first + step) % 7] = true);
    }
    Ok(days)
}

fn minute(text: &str) -> Result<u16, &'static str> {
    const BAD: &str = "times are 00:00 to 24:00";
    let (hour, minute) = text.trim().split_once(':').ok_or(BAD)?;
    let two = |part: &str| match part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()) {
        true => part.parse::<u16>().map_err(|_| BAD),
        false => Err(BAD),
    };
    match (two(hour)?, two(minute)?) {
        (24, 0) => Ok(DAY_MINUTES),
        (hour @ 0..24, minute @ 0..60) => Ok(hour * 60 + minute),
        _ => Err(BAD),
    }
}

fn window(text: &str) -> Result<Window, &'static str> {
    let text = text.trim();
    let (named, times) = match text.rsplit_once(char::is_whitespace) {
        Some((named, times)) => (Some(named), Some(times)),
        None if text.contains(':') => (None, Some(text)),
        None => (Some(text), None),
    };
    let days = named.map_or(Ok([true; 7]), days)?;
    let Some(times) = times else { return Ok(Window { days, from: 0, to: DAY_MINUTES }) };
    let (from, to) = times.split_once('-').ok_or("it has no end")?;
    let (from, to) = (minute(from)?, minute(to)?);
    match from == to || from == DAY_MINUTES {
        true => Err("it has no length; all day is 00:00-24:00"),
        false => Ok(Window { days, from, to }),
    }
}

impl FromStr for Window {
    type Err = Unreadable;
    fn from_str(text: &str) -> Result<Self, Unreadable> {
        window(text).map_err(|reason| Unreadable { text: text.to_owned(), reason })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<_> =
            DAYS.iter().zip(self.days).filter_map(|(name, on)| on.then_some(*name)).collect();
        let time = |m: u16| format!("{:02}:{:02}", m / 60, m % 60);
        write!(f, "{} {}-{}", named.join(","), time(self.from), time(self.to))
    }
}

impl Window {
    /// Whether it is open at this minute of this day (Monday is 0).
    fn has(&self, day: usize, minute: u16) -> bool {
        if self.from < self.to {
            return self.days[day] && (self.from..self.to).contains(&minute);
        }
        self.days[day] && minute >= self.from || self.days[(day + 6) % 7] && minute < self.to
    }
}

impl Schedule {
    /// Of these windows; `offset` is `UTC`, `+01:00` or `-05:30`.
    ///
    /// # Errors
    /// [`Unreadable`], naming the first that is.
    pub fn parse<T: AsRef<str>>(windows: &[T], offset: &str) -> Result<Self, Unreadable> {
        let bad = || Unreadable { text: offset.to_owned(), reason: "an offset is UTC or +01:00" };
        let windows = windows.iter().map(|text| text.as_ref().parse()).collect::<Result<_, _>>()?;
        let (sign, time) = match offset.split_at_checked(1) {
            _ if ["UTC", "Z"].contains(&offset) => (1, "00:00"),
            Some(("+", time)) => (1, time),
            Some(("-", time)) => (-1, time),
            _ => return Err(bad()),
        };
        let minutes = minute(time).ok().filter(|minutes| *minutes <= 14 * 60).ok_or_else(bad)?;
        let offset_minutes = i16::try_from(minutes).map_err(|_| bad())? * sign;
        Ok(Self { windows, offset_minutes })
    }

    /// Whether some window is open then.
    pub fn is_open(&self, at: Timestamp) -> bool {
        let minutes = at.as_micros().div_euclid(MINUTE_MICROS) + i64::from(self.offset_minutes);
        // 1970-01-01 was a Thursday.
        let day = (minutes.div_euclid(i64::from(DAY_MINUTES)) + 3).rem_euclid(7);
        let minute = minutes.rem_euclid(i64::from(DAY_MINUTES));
        match (usize::try_from(day), u16::try_from(minute)) {
            (Ok(day), Ok(minute)) => self.windows.iter().any(|window| window.has(day, minute)),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn open(windows: &[&str], offset: &str, at: &str) -> bool {
        Schedule::parse(windows, offset).unwrap().is_open(at.parse().unwrap())
    }

    #[test]
    fn nights_belong_to_the_day_they_begin_on() {
        let nights = ["mon-fri 19:00-07:00"];
        // 2026-11-20 is a Friday.
        for (at, is) in [
            ("2026-11-20T18:59:59Z", false),
            ("2026-11-20T19:00:00Z", true),
            ("2026-11-21T06:59:59Z", true),
            ("2026-11-21T07:00:00Z", false),
            ("2026-11-21T19:30:00Z", false),
            ("2026-11-23T06:00:00Z", false),
            ("2026-11-23T19:00:00Z", true),
        ] {
            assert_eq!(open(&nights, "UTC", at), is, "{at}");
        }
        assert!(open(&nights, "+01:00", "2026-11-20T18:00:00Z"));
        assert!(!open(&nights, "-05:30", "2026-11-20T19:00:00Z"));
        assert!(open(&["fri-mon"], "UTC", "2026-11-22T12:00:00Z"));
        assert!(!open(&["fri-mon"], "UTC", "2026-11-24T00:00:00Z"));
        assert!(open(&["00:00-24:00"], "Z", "1969-12-31T23:59:59Z"));
        assert!(!open(&[], "UTC", "2026-11-20T19:00:00Z"));
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for bad in [
            "",
            "mon",
            "someday 01:00-02:00",
            "01:00",
            "1:00-2:00",
            "25:00-26:00",
            "10:00-10:00",
            "24:00-01:00",
            "mon 10:60-11:00",
            "mon-fri 19:00",
            "mon--fri 01:00-02:00",
            "+1:00-2:00",
        ] {
            assert_eq!(bad == "mon", bad.parse::<Window>().is_ok(), "{bad}");
        }
        for bad in ["", "Europe/Berlin", "+25:00", "01:00", "+1", "é"] {
            assert!(Schedule::parse::<&str>(&[], bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,24}") {
            let _ = text.parse::<Window>();
            let _ = Schedule::parse(&[&text], &text);
        }

        #[test]
        fn what_is_shown_reads_the_same(
            days in any::<[bool; 7]>(), from in 0..DAY_MINUTES, to in 0..=DAY_MINUTES
        ) {
            prop_assume!(from != to && days.contains(&true));
            let window = Window { days, from, to };
            prop_assert_eq!(window.to_string().parse::<Window>(), Ok(window));
        }

        /// Each minute of a week is inside exactly as long as the window is.
        #[test]
        fn a_window_is_open_as_long_as_it_says(
            day in 0..7usize, from in 0..DAY_MINUTES, to in 0..=DAY_MINUTES
        ) {
            prop_assume!(from != to);
            let mut days = [false; 7];
            days[day] = true;
            let window = Window { days, from, to };
            let open = (0..7).flat_map(|d| (0..DAY_MINUTES).map(move |m| (d, m)))
                .filter(|(d, m)| window.has(*d, *m)).count();
            let long = if from < to { to - from } else { DAY_MINUTES - from + to };
            prop_assert_eq!(open, usize::from(long));
        }
    }
}
