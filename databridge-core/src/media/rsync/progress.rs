//! What rsync says while it works (`--info=progress2`, numbers plain).

/// Bytes and files so far, by its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Done {
    pub bytes: u64,
    pub files: u64,
}

/// Reads one line: `  32768 100%    1.02MB/s    0:00:00 (xfr#1, to-chk=0/3)`.
/// What is no such line changes nothing.
pub fn read(line: &str, before: Done) -> Done {
    let mut fields = line.split_whitespace();
    let bytes = fields.next().and_then(|text| text.parse::<u64>().ok());
    let percent = fields.next().is_some_and(|text| text.ends_with('%'));
    let (Some(bytes), true) = (bytes, percent) else { return before };
    let files = line
        .split_once("(xfr#")
        .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
    Done { bytes: bytes.max(before.bytes), files: files.unwrap_or(before.files).max(before.files) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn its_lines_are_read() {
        let first = read(
            "          32768 100%    1.02MB/s    0:00:00 (xfr#1, to-chk=0/3)",
            Done::default(),
        );
        assert_eq!(first, Done { bytes: 32768, files: 1 });
        let second = read("     65536  50%  100.00kB/s    0:00:01  ", first);
        assert_eq!(second, Done { bytes: 65536, files: 1 });
        assert_eq!(read("rsync: something else", second), second);
    }

    proptest! {
        #[test]
        fn any_line_is_read(line in "\\PC*", bytes: u64, files: u64) {
            let before = Done { bytes, files };
            let after = read(&line, before);
            prop_assert!(after.bytes >= bytes && after.files >= files);
        }
    }
}
