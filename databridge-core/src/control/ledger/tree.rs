//! The Merkle tree over a table of stored hashes.
//!
//! `tlog_tiles` reads hashes through a synchronous trait, the table answers
//! asynchronously: a pass over what is known says what is missing, the table is
//! asked for that, and the pass is made again. It ends after a few rounds.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use tlog_tiles::{Hash, HashReader};

use super::{Error, sql};
use crate::control::db::Tx;

#[derive(Default)]
struct Known {
    hashes: HashMap<u64, Hash>,
    missing: RefCell<BTreeSet<u64>>,
}

impl HashReader for Known {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        let absent: Vec<u64> =
            indexes.iter().copied().filter(|i| !self.hashes.contains_key(i)).collect();
        if absent.is_empty() {
            Ok(indexes.iter().map(|i| self.hashes[i]).collect())
        } else {
            self.missing.borrow_mut().extend(absent);
            Err(tlog_tiles::Error::InvalidInput("not read yet".into()))
        }
    }
}

/// Hashes of the tree that this transaction has seen or made.
#[derive(Default)]
pub(super) struct Tree {
    known: Known,
    made: Vec<(u64, Hash)>,
}

impl Tree {
    async fn read<T>(
        &mut self,
        tx: &mut Tx,
        mut pass: impl FnMut(&Known) -> Result<T, tlog_tiles::Error>,
    ) -> Result<T, Error> {
        loop {
            match pass(&self.known) {
                Ok(value) => return Ok(value),
                Err(error) => {
                    let missing: Vec<u64> = self.known.missing.take().into_iter().collect();
                    if missing.is_empty() {
                        return Err(Error::Tree(error.to_string()));
                    }
                    let found = sql::nodes(tx, &missing).await?;
                    if found.len() != missing.len() {
                        return Err(Error::Tree(format!(
                            "{} stored hashes are missing",
                            missing.len() - found.len()
                        )));
                    }
                    self.known.hashes.extend(found);
                }
            }
        }
    }

    /// Appends a record as leaf number `size`.
    pub(super) async fn append(
        &mut self,
        tx: &mut Tx,
        size: u64,
        record: &[u8],
    ) -> Result<(), Error> {
        let hashes = self.read(tx, |known| tlog_tiles::stored_hashes(size, record, known)).await?;
        let first = tlog_tiles::stored_hash_index(0, size);
        for (index, hash) in (first..).zip(hashes) {
            self.known.hashes.insert(index, hash);
            self.made.push((index, hash));
        }
        Ok(())
    }

    /// The root over the first `size` leaves.
    pub(super) async fn root(&mut self, tx: &mut Tx, size: u64) -> Result<Hash, Error> {
        self.read(tx, |known| tlog_tiles::tree_hash(size, known)).await
    }

    /// The proof that leaf `position` is under the root of `size`.
    pub(super) async fn inclusion(
        &mut self,
        tx: &mut Tx,
        size: u64,
        position: u64,
    ) -> Result<Vec<Hash>, Error> {
        self.read(tx, |known| tlog_tiles::prove_record(size, position, known)).await
    }

    /// Writes what was appended.
    pub(super) async fn store(self, tx: &mut Tx) -> Result<(), Error> {
        for (index, hash) in self.made {
            sql::insert_node(tx, index, hash).await?;
        }
        Ok(())
    }
}
