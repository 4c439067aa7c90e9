//! Where the frame is in a name.

/// More digits than this are no frame: they would not fit, nor mean time.
const MOST_DIGITS: usize = 15;

/// A name taken apart: `basename`, number, `extension`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    pub basename: &'a [u8],
    pub extension: &'a [u8],
    pub frame: Option<Number>,
}

/// A number as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// In units of its last decimal.
    pub value: i64,
    /// Characters before the decimal point, with the sign.
    pub width: usize,
    /// Zeros were written in front of it.
    pub is_padded: bool,
    pub decimals: usize,
}

/// Takes a file's name apart, which holds no slash.
pub fn parts(name: &[u8], subframes: bool) -> Parts<'_> {
    let at = extension_start(name);
    let extension = &name[at..];
    let number = whole(name, at)
        .map(|number| with_decimals(name, at).filter(|_| subframes).unwrap_or(number));
    match number {
        Some((start, number)) => Parts { basename: &name[..start], extension, frame: Some(number) },
        None => Parts { basename: &name[..at], extension, frame: None },
    }
}

/// The first dot from which on there are only extensions: all but the last have a
/// letter as their last character or the one before it, so that `.1001` is none in
/// `a.1001.exr`, and `.v002` none in `a.v002.exr`.
fn extension_start(name: &[u8]) -> usize {
    let mut start = name.len();
    let mut end = name.len();
    while let Some(dot) = name[..end].iter().rposition(|byte| *byte == b'.') {
        let part = &name[dot + 1..end];
        let is_last = end == name.len();
        let is_extension = if is_last { !part.is_empty() } else { has_letter_at_its_end(part) };
        if !is_extension {
            break;
        }
        (start, end) = (dot, dot);
    }
    start
}

fn has_letter_at_its_end(part: &[u8]) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
    part.iter().all(is_word) && part.iter().rev().take(2).any(u8::is_ascii_alphabetic)
}

/// Where the digits begin that end at `end`.
fn digits(name: &[u8], end: usize) -> usize {
    name[..end].iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |at| at + 1)
}

/// `v002`, where the `v` stands alone.
fn is_version(name: &[u8], start: usize) -> bool {
    let is_alone = |at: usize| at == 0 || !name[at - 1].is_ascii_alphanumeric();
    start > 0 && name[start - 1].eq_ignore_ascii_case(&b'v') && is_alone(start - 1)
}

/// Where the sign is, if the dash before `start` is one.
fn signed(name: &[u8], start: usize) -> Option<usize> {
    let at = start.checked_sub(1).filter(|at| name[*at] == b'-')?;
    (at == 0 || matches!(name[at - 1], b'.' | b'_' | b' ')).then_some(at)
}

fn value(digits: impl Iterator<Item = u8>) -> i64 {
    digits.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
}

fn number(name: &[u8], from: usize, point: usize, end: usize) -> Option<(usize, Number)> {
    let (whole, rest) = (&name[from..point], &name[(point + 1).min(end)..end]);
    if whole.is_empty() || whole.len() + rest.len() > MOST_DIGITS || is_version(name, from) {
        return None;
    }
    let value = value(whole.iter().chain(rest).copied());
    let sign = signed(name, from).filter(|_| value != 0);
    let number = Number {
        value: if sign.is_some() { -value } else { value },
        width: whole.len() + usize::from(sign.is_some()),
        is_padded: whole.len() > 1 && whole[0] == b'0',
        decimals: rest.len(),
    };
    Some((sign.unwrap_or(from), number))
}

/// The number that ends at `end`, and where it begins.
fn whole(name: &[u8], end: usize) -> Option<(usize, Number)> {
    number(name, digits(name, end), end, end)
}

/// As [`whole`], with the number before the dot before it.
fn with_decimals(name: &[u8], end: usize) -> Option<(usize, Number)> {
    let point = digits(name, end).checked_sub(1).filter(|at| name[*at] == b'.')?;
    number(name, digits(name, point), point, end)
}
