//! The files of a revision.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::control::db::{Error, Row, Tx, Value};
use crate::media::checksum::Sha256;
use crate::media::freeze::Fact;
use crate::media::manifest::Entry;
use crate::media::storage::RelPath;
use crate::media::walk::Kind;
use crate::params;

/// A file as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct StoredFile {
    pub path: RelPath,
    pub size_bytes: u64,
    /// `None` for an empty folder.
    pub sha256: Option<Sha256>,
    pub blob: Option<String>,
    pub carried: Option<i64>,
    pub fact: Option<Fact>,
}

impl StoredFile {
    /// As the manifest has it.
    pub fn entry(&self) -> Entry {
        match self.sha256 {
            Some(sha256) => {
                Entry::File { path: self.path.clone(), size_bytes: self.size_bytes, sha256 }
            }
            None => Entry::EmptyDir { path: self.path.clone() },
        }
    }
}

/// Rows in one INSERT: well below both databases' limits of parameters.
const ROWS: usize = 200;
const COLUMNS: usize = 13;

fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Device and inode numbers use all 64 bits: they are kept bit for bit.
#[allow(clippy::cast_possible_wrap)]
fn bits(n: u64) -> i64 {
    n as i64
}

pub(crate) async fn insert_files(
    tx: &mut Tx,
    transfer: Uuid,
    revision: i64,
    files: &[StoredFile],
) -> Result<(), Error> {
    for batch in files.chunks(ROWS) {
        let mut sql = String::from(
            "INSERT INTO transfer_files (transfer_id, revision, path, folded, kind, size_bytes,
                 sha256, blob, carried, mtime_ns, ctime_ns, dev, ino) VALUES ",
        );
        let mut values: Vec<Value> = Vec::with_capacity(batch.len() * COLUMNS);
        for (i, file) in batch.iter().enumerate() {
            let places: Vec<String> =
                (1..=COLUMNS).map(|n| format!("${}", i * COLUMNS + n)).collect();
            sql.push_str(if i == 0 { "(" } else { ", (" });
            sql.push_str(&places.join(", "));
            sql.push(')');
            let fact = file.fact.as_ref();
            values.extend(params![
                transfer,
                revision,
                file.path.as_str(),
                file.path.folded(),
                if file.sha256.is_some() { "file" } else { "empty_dir" },
                int(file.size_bytes),
                file.sha256.map(|d| d.to_string()),
                file.blob.as_deref(),
                file.carried,
                fact.map(|f| f.mtime_ns),
                fact.map(|f| f.ctime_ns),
                fact.map(|f| bits(f.dev)),
                fact.map(|f| bits(f.ino)),
            ]);
        }
        tx.exec_built(sql, values).await?;
    }
    Ok(())
}

#[allow(clippy::cast_sign_loss)]
fn file(row: &Row) -> Result<StoredFile, Error> {
    let wrong = |e: Box<dyn std::error::Error + Send + Sync>| Error::Column {
        column: "path".into(),
        source: e,
    };
    let path: String = row.get("path")?;
    let path = RelPath::parse(&path).map_err(|e| wrong(e.into()))?;
    let size_bytes = row.size("size_bytes")?;
    let digest: Option<String> = row.opt("sha256")?;
    let fact = match row.opt::<i64>("ino")? {
        None => None,
        Some(ino) => Some(Fact {
            path: path.clone(),
            kind: if digest.is_some() { Kind::File } else { Kind::EmptyDir },
            size_bytes,
            mtime_ns: row.get("mtime_ns")?,
            ctime_ns: row.get("ctime_ns")?,
            dev: row.get::<i64>("dev")? as u64,
            ino: ino as u64,
        }),
    };
    Ok(StoredFile {
        path,
        size_bytes,
        sha256: digest.map(|d| super::parse_digest(&d)).transpose()?,
        blob: row.opt("blob")?,
        carried: row.opt("carried")?,
        fact,
    })
}

/// The files of a revision, sorted by path.
pub(crate) async fn files(
    tx: &mut Tx,
    transfer: Uuid,
    revision: i64,
) -> Result<Vec<StoredFile>, Error> {
    let rows = tx
        .all(
            "SELECT path, size_bytes, sha256, blob, carried, mtime_ns, ctime_ns, dev, ino
             FROM transfer_files WHERE transfer_id = $1 AND revision = $2",
            params![transfer, revision],
        )
        .await?;
    let mut files = rows.iter().map(file).collect::<Result<Vec<_>, _>>()?;
    // Not by the database: its collation need not be bytewise.
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// How many files, and how many bytes.
pub(crate) async fn totals(
    tx: &mut Tx,
    transfer: Uuid,
    revision: i64,
) -> Result<(u64, u64), Error> {
    let row = tx
        .one(
            "SELECT COUNT(sha256) AS files, CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS bytes
             FROM transfer_files WHERE transfer_id = $1 AND revision = $2",
            params![transfer, revision],
        )
        .await?;
    Ok((row.size("files")?, row.size("bytes")?))
}

/// The same of a page of revisions, by transfer; one without files is not there.
pub(crate) async fn totals_of(
    tx: &mut Tx,
    revisions: &[(Uuid, i64)],
) -> Result<BTreeMap<Uuid, (u64, u64)>, Error> {
    if revisions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let places: Vec<String> = (1..=revisions.len()).map(|n| format!("${n}")).collect();
    let sql = format!(
        "SELECT transfer_id, revision, COUNT(sha256) AS files,
                CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS bytes
         FROM transfer_files WHERE transfer_id IN ({}) GROUP BY transfer_id, revision",
        places.join(", ")
    );
    let ids = revisions.iter().map(|(id, _)| (*id).into()).collect();
    let mut totals = BTreeMap::new();
    for row in tx.all_built(sql, ids).await? {
        let of: (Uuid, i64) = (row.get("transfer_id")?, row.get("revision")?);
        if revisions.contains(&of) {
            totals.insert(of.0, (row.size("files")?, row.size("bytes")?));
        }
    }
    Ok(totals)
}

/// The path that stands where `path` would, by name or by a name like it, and its
/// blob.
pub(crate) async fn like(
    tx: &mut Tx,
    transfer: Uuid,
    revision: i64,
    path: &RelPath,
) -> Result<Option<String>, Error> {
    tx.opt(
        "SELECT path FROM transfer_files
         WHERE transfer_id = $1 AND revision = $2 AND folded = $3",
        params![transfer, revision, path.folded()],
    )
    .await?
    .map(|row| row.get("path"))
    .transpose()
}

pub(crate) async fn delete_file(
    tx: &mut Tx,
    transfer: Uuid,
    revision: i64,
    path: &str,
) -> Result<u64, Error> {
    tx.exec(
        "DELETE FROM transfer_files WHERE transfer_id = $1 AND revision = $2 AND path = $3",
        params![transfer, revision, path],
    )
    .await
}

pub(crate) async fn delete_files(tx: &mut Tx, transfer: Uuid, revision: i64) -> Result<(), Error> {
    tx.exec(
        "DELETE FROM transfer_files WHERE transfer_id = $1 AND revision = $2",
        params![transfer, revision],
    )
    .await?;
    Ok(())
}

/// What the file system says of a file that was put back.
pub(crate) async fn set_fact(
    tx: &mut Tx,
    transfer: Uuid,
    revision: i64,
    fact: &Fact,
) -> Result<(), Error> {
    tx.exec(
        "UPDATE transfer_files SET mtime_ns = $1, ctime_ns = $2, dev = $3, ino = $4
         WHERE transfer_id = $5 AND revision = $6 AND path = $7",
        params![
            fact.mtime_ns,
            fact.ctime_ns,
            bits(fact.dev),
            bits(fact.ino),
            transfer,
            revision,
            fact.path.as_str()
        ],
    )
    .await?;
    Ok(())
}

/// Begins the next revision with everything of the last one.
pub(crate) async fn carry_files(
    tx: &mut Tx,
    transfer: Uuid,
    from: i64,
    to: i64,
) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO transfer_files (transfer_id, revision, path, folded, kind, size_bytes, sha256,
                                     carried)
         SELECT transfer_id, $3, path, folded, kind, size_bytes, sha256, $2
         FROM transfer_files WHERE transfer_id = $1 AND revision = $2",
        params![transfer, from, to],
    )
    .await?;
    Ok(())
}
