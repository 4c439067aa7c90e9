//! Whether the ledger is what it was: every event hashed again, the tree built
//! again beside the stored one, and both held against checkpoints kept elsewhere.

use serde::Serialize;
use tlog_tiles::{Hash, node_hash, record_hash, stored_hash_index};

use super::sql::{self, Columns, StoredLeaf};
use super::{Checkpoint, Error, Event};
use crate::control::db::Tx;

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// The event's text is not the one that was sealed.
    Edited {
        /// Its position.
        position: u64,
        /// Its id.
        event: String,
    },
    /// A column beside the text tells something else than the text.
    Projection {
        /// Its position.
        position: u64,
        /// Its id.
        event: String,
    },
    /// A position or its event is gone.
    Removed {
        /// The position.
        position: u64,
    },
    /// An event that was never given a position nor waits for one.
    Unsealed {
        /// Its id.
        event: String,
    },
    /// The stored tree disagrees with the events.
    Tree {
        /// Where.
        detail: String,
    },
    /// The ledger is not an extension of the checkpoint.
    Checkpoint {
        /// How it differs.
        detail: String,
    },
}

/// What verification found.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// How many events were read.
    pub events: u64,
    /// How many wait for their position (PostgreSQL, less than a second).
    pub pending: u64,
    /// The root over them, in hex.
    pub root: String,
    /// The size of the largest checkpoint that was held against it; `None` says
    /// that nothing proves the tail: events may have been cut off the end.
    pub proved_to: Option<u64>,
    /// What is wrong; empty when all is well.
    pub findings: Vec<Finding>,
}

/// Enough to tell what happened; a rewritten ledger differs everywhere.
const MOST_FINDINGS: usize = 100;

struct Walk {
    /// Roots of the complete subtrees to the left, largest first.
    spine: Vec<(u8, Hash)>,
    next: u64,
    findings: Vec<Finding>,
}

impl Walk {
    fn find(&mut self, finding: Finding) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(finding);
        }
    }

    fn root(&self) -> Hash {
        let mut hashes = self.spine.iter().rev().map(|(_, hash)| *hash);
        match hashes.next() {
            None => tlog_tiles::EMPTY_HASH,
            Some(last) => hashes.fold(last, |right, left| node_hash(left, right)),
        }
    }

    /// Adds a leaf and compares the nodes it completes with the stored ones.
    async fn add(&mut self, tx: &mut Tx, leaf: &StoredLeaf, body: &str) -> Result<(), Error> {
        let mut hash = record_hash(body.as_bytes());
        let mut level = 0;
        let mut index = stored_hash_index(0, leaf.position);
        let mut agreed = self.compare(tx, index, hash).await?;
        if !agreed {
            self.find(Finding::Edited {
                position: leaf.position,
                event: leaf.event_id.to_string(),
            });
        }
        while let Some((_, left)) = self.spine.pop_if(|(l, _)| *l == level) {
            hash = node_hash(left, hash);
            level += 1;
            index += 1;
            let same = self.compare(tx, index, hash).await?;
            if !same && agreed {
                self.find(Finding::Tree {
                    detail: format!("node {level} over the events up to {}", leaf.position),
                });
            }
            // One wrong leaf makes every node above it wrong: say it once.
            agreed &= same;
        }
        self.spine.push((level, hash));
        Ok(())
    }

    async fn compare(&self, tx: &mut Tx, index: u64, hash: Hash) -> Result<bool, Error> {
        Ok(sql::nodes(tx, &[index]).await?.first().is_some_and(|(_, stored)| *stored == hash))
    }
}

fn projection_differs(leaf: &StoredLeaf, body: &str) -> bool {
    let Ok(event) = serde_json::from_str::<Event>(body) else { return true };
    let told = Columns {
        org: event.org,
        subject_kind: event.subject.kind,
        subject: event.subject.id,
        subject_code: Some(event.subject.code),
        kind: event.kind,
        actor: event.by.username,
        recorded_at: event.at,
    };
    event.id != leaf.event_id || leaf.columns.as_ref() != Some(&told)
}

/// Reads the whole ledger and compares it with itself and with `checkpoints`.
///
/// # Errors
/// [`Error::Db`] where it could not be read to the end.
pub async fn verify(tx: &mut Tx, checkpoints: &[Checkpoint]) -> Result<Report, Error> {
    let (size, root) = sql::head(tx, false).await?;
    let mut walk = Walk { spine: Vec::new(), next: 0, findings: Vec::new() };
    let mut due: Vec<&Checkpoint> = checkpoints.iter().collect();
    due.sort_by_key(|checkpoint| std::cmp::Reverse(checkpoint.size));
    loop {
        check_due(&mut walk, &mut due);
        let page = sql::leaves(tx, walk.next, 1000).await?;
        if page.is_empty() {
            break;
        }
        for leaf in page {
            while walk.next < leaf.position {
                let position = walk.next;
                walk.find(Finding::Removed { position });
                walk.next += 1;
            }
            match &leaf.body {
                None => walk.find(Finding::Removed { position: leaf.position }),
                Some(body) => {
                    walk.add(tx, &leaf, body).await?;
                    if projection_differs(&leaf, body) {
                        let event = leaf.event_id.to_string();
                        walk.find(Finding::Projection { position: leaf.position, event });
                    }
                }
            }
            walk.next = leaf.position + 1;
            check_due(&mut walk, &mut due);
        }
    }
    for checkpoint in due {
        let detail = format!(
            "the checkpoint counts {} events, the ledger {}: the tail was cut",
            checkpoint.size, walk.next
        );
        walk.find(Finding::Checkpoint { detail });
    }
    if size != walk.next || root != walk.root() {
        let detail = format!("the head counts {size} events, the leaves are {}", walk.next);
        walk.find(Finding::Tree { detail });
    }
    for event in sql::strays(tx).await? {
        walk.find(Finding::Unsealed { event: event.to_string() });
    }
    Ok(Report {
        events: walk.next,
        pending: sql::count_pending(tx).await?,
        root: hex::encode(walk.root().0),
        proved_to: checkpoints.iter().map(|c| c.size).filter(|s| *s <= walk.next).max(),
        findings: walk.findings,
    })
}

fn check_due(walk: &mut Walk, due: &mut Vec<&Checkpoint>) {
    while let Some(checkpoint) = due.pop_if(|c| c.size == walk.next) {
        if walk.root().0 != checkpoint.root {
            let detail = format!(
                "the first {} events are not those of the checkpoint of {}",
                checkpoint.size, checkpoint.origin
            );
            walk.find(Finding::Checkpoint { detail });
        }
    }
}
