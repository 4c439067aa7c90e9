//! Genealogies drawn: Mermaid for pages, DOT for Graphviz. Codes need no quoting
//! (see `check_code`), but are quoted all the same.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::state::LotStatus;

/// How a graph is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Nodes and edges only.
    #[default]
    Json,
    /// With a Mermaid flowchart.
    Mermaid,
    /// With a DOT digraph.
    Dot,
}

/// A lot as it is drawn.
pub(super) struct Node<'a> {
    pub code: &'a str,
    pub lot_type: &'a str,
    pub status: LotStatus,
}

/// The text, where the format has one.
pub(super) fn render(
    format: Format,
    root: &str,
    nodes: &[Node<'_>],
    edges: &[(String, String)],
    cut: bool,
) -> Option<String> {
    match format {
        Format::Json => None,
        Format::Mermaid => Some(mermaid(root, nodes, edges, cut)),
        Format::Dot => Some(dot(root, nodes, edges, cut)),
    }
}

fn mermaid(root: &str, nodes: &[Node<'_>], edges: &[(String, String)], cut: bool) -> String {
    let mut text = String::from("flowchart TD\n");
    // Mermaid's ids are words of its own: numbers are safe, codes are not (`end`).
    let id = |code: &str| nodes.iter().position(|n| n.code == code);
    let mut line = |args: std::fmt::Arguments<'_>| {
        // Writing to a string does not fail.
        let _ = text.write_fmt(args);
    };
    for (i, node) in nodes.iter().enumerate() {
        let (code, kind, status) = (node.code, node.lot_type, node.status);
        line(format_args!("    n{i}[\"{code}<br/>{kind} {status}\"]\n"));
    }
    for (parent, child) in edges {
        if let (Some(p), Some(c)) = (id(parent), id(child)) {
            line(format_args!("    n{p} --> n{c}\n"));
        }
    }
    if let Some(i) = id(root) {
        line(format_args!("    style n{i} stroke-width:3px\n"));
    }
    if cut {
        line(format_args!("    %% cut: there are more lots than were asked for\n"));
    }
    text
}

fn dot(root: &str, nodes: &[Node<'_>], edges: &[(String, String)], cut: bool) -> String {
    let mut text = String::from("digraph genealogy {\n    node [shape=box];\n");
    for node in nodes {
        let (code, kind, status) = (node.code, node.lot_type, node.status);
        let bold = if code == root { ", style=bold" } else { "" };
        let _ = writeln!(text, "    \"{code}\" [label=\"{code}\\n{kind} {status}\"{bold}];");
    }
    for (parent, child) in edges {
        let _ = writeln!(text, "    \"{parent}\" -> \"{child}\";");
    }
    if cut {
        text.push_str("    // cut: there are more lots than were asked for\n");
    }
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_is_a_word_of_mermaid_is_no_trouble() {
        let nodes = [
            Node { code: "end", lot_type: "RAW", status: LotStatus::Released },
            Node { code: "graph", lot_type: "DEB", status: LotStatus::Hold },
        ];
        let edges = [("end".to_owned(), "graph".to_owned())];
        assert_eq!(
            mermaid("end", &nodes, &edges, true),
            "flowchart TD\n    n0[\"end<br/>RAW RELEASED\"]\n    n1[\"graph<br/>DEB HOLD\"]\n    \
             n0 --> n1\n    style n0 stroke-width:3px\n    \
             %% cut: there are more lots than were asked for\n"
        );
        assert_eq!(
            dot("end", &nodes, &edges, false),
            "digraph genealogy {\n    node [shape=box];\n    \
             \"end\" [label=\"end\\nRAW RELEASED\", style=bold];\n    \
             \"graph\" [label=\"graph\\nDEB HOLD\"];\n    \"end\" -> \"graph\";\n}\n"
        );
    }
}
