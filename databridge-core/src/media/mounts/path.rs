//! Absolute paths, as each system writes them.

use super::{Error, System};

/// A path in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// What it begins with: `P:`, `\\server\share`; nothing on the others.
    pub root: String,
    /// The names after it.
    pub names: Vec<String>,
}

impl Path {
    /// Its first names.
    pub fn up_to(&self, length: usize) -> Self {
        Self { root: self.root.clone(), names: self.names[..length].to_vec() }
    }
}

/// Names that Windows keeps for devices, whatever follows their first dot (Microsoft,
/// "Naming Files, Paths, and Namespaces"); in lower case.
pub fn is_device(lower: &str) -> bool {
    let stem = lower.split('.').next().unwrap_or_default().trim_end();
    let numbered = |name: &str| {
        stem.strip_prefix(name).is_some_and(|n| {
            matches!(
                n.chars().collect::<Vec<_>>()[..],
                ['1'..='9' | '\u{b9}' | '\u{b2}' | '\u{b3}']
            )
        })
    };
    ["con", "prn", "aux", "nul", "conin$", "conout$"].contains(&stem)
        || numbered("com")
        || numbered("lpt")
}

/// Reads a path by its system's rules.
pub fn parse(system: System, text: &str) -> Result<Path, Error> {
    let refuse = |reason| Err(Error::Path { path: text.to_owned(), system, reason });
    if text.chars().any(char::is_control) {
        return refuse("it has control characters");
    }
    let (root, rest) = match system {
        System::Linux | System::Macos => match text.strip_prefix('/') {
            Some(rest) => (String::new(), rest.to_owned()),
            None => return refuse("it does not begin with a slash"),
        },
        System::Windows => match windows_root(&text.replace('/', "\\")) {
            Ok(split) => split,
            Err(reason) => return refuse(reason),
        },
    };
    let separator = if system == System::Windows { '\\' } else { '/' };
    let mut names = Vec::new();
    for name in rest.split(separator).filter(|name| !name.is_empty()) {
        if name == "." || name == ".." {
            return refuse("it has . or .. in it");
        }
        if system == System::Windows
            && let Err(reason) = windows_name(name)
        {
            return refuse(reason);
        }
        names.push(name.to_owned());
    }
    Ok(Path { root, names })
}

/// What a Windows path begins with, and the rest. Long forms (`\\?\`) are the short ones.
fn windows_root(text: &str) -> Result<(String, String), &'static str> {
    let long = text.strip_prefix(r"\\?\");
    let unc = match long {
        Some(long) if long.get(..4).is_some_and(|s| s.eq_ignore_ascii_case(r"unc\")) => {
            long.get(4..)
        }
        Some(_) => None,
        None => text.strip_prefix(r"\\"),
    };
    if let Some(unc) = unc {
        let mut parts = unc.splitn(3, '\\');
        let (server, share) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if server.is_empty() || share.is_empty() {
            return Err(r"\\ is followed by a server and a share");
        }
        if server == "." || server == "?" {
            return Err("it names a device");
        }
        windows_name(server).and_then(|()| windows_name(share))?;
        let rest = parts.next().unwrap_or_default().to_owned();
        return Ok((format!(r"\\{server}\{share}"), rest));
    }
    let text = long.unwrap_or(text);
    let mut chars = text.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some(letter), Some(':'), None | Some('\\')) if letter.is_ascii_alphabetic() => {
            let rest = text.get(2..).unwrap_or_default().trim_start_matches('\\').to_owned();
            Ok((format!("{}:", letter.to_ascii_uppercase()), rest))
        }
        _ => Err(r"it begins neither with a drive, as P:\, nor with \\server\share"),
    }
}

/// Whether Windows can have a file of that name.
fn windows_name(name: &str) -> Result<(), &'static str> {
    if name.contains(['<', '>', ':', '"', '|', '?', '*', '/', '\\']) {
        return Err("Windows has no such characters in names");
    }
    if name.ends_with(['.', ' ']) {
        return Err("Windows has no names that end in a dot or a space");
    }
    if is_device(&name.to_lowercase()) {
        return Err("Windows keeps that name for a device");
    }
    Ok(())
}

/// Writes a path by its system's rules.
pub fn render(system: System, path: &Path) -> String {
    match system {
        System::Linux | System::Macos => format!("/{}", path.names.join("/")),
        System::Windows => format!(r"{}\{}", path.root, path.names.join(r"\")),
    }
}
