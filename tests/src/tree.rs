//! Trees of files to move, and what stands in a folder afterwards, told by code
//! that shares nothing with DataBridge.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

/// A sequence of pseudo-random numbers that only its seed decides (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// True in half of the cases.
    pub fn coin(&mut self) -> bool {
        self.number() & 1 == 1
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.number().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Folder,
    /// A regular file.
    File {
        /// Its length.
        size_bytes: u64,
        /// Its SHA-256 in lower-case hex.
        sha256: String,
    },
    /// Anything else.
    Other,
}

/// Everything below a root by relative path (`/`-separated), folders included.
pub type Listing = BTreeMap<String, Node>;

/// Sizes on both sides of the edges at which copiers go wrong: nothing, one
/// byte, sector, page, a pipe, a mebibyte.
pub const EDGES: [usize; 12] =
    [0, 1, 511, 512, 513, 4095, 4096, 4097, 65_535, 65_537, 1 << 20, (1 << 20) + 1];

/// Writes a small shot below `root` (which may stand already): a frame sequence,
/// a file of each size of [`EDGES`], nested folders, names in several scripts
/// and with spaces, an empty file and an empty folder. The same seed gives the
/// same bytes. About 2.5 MB.
pub fn write_media(root: &Path, seed: u64) -> Listing {
    let mut random = Random::new(seed);
    let mut put = |path: String, size: usize| {
        let file = root.join(&path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        File::create(&file).unwrap().write_all(&random.bytes(size)).unwrap();
    };
    for frame in 1001..=1006 {
        put(format!("plates/sh010/comp_v003.{frame}.exr"), 30_000 + frame);
    }
    for size in EDGES {
        put(format!("edges/{size:07}.bin"), size);
    }
    put("deep/a/b/c/d/e/f/notes.txt".to_owned(), 300);
    put("名前/カット 010.mov".to_owned(), 70_001);
    put("Grüße aus Köln.txt".to_owned(), 99);
    put("plates.sh010.exr".to_owned(), 12);
    put("take #12 (final) 'ok'.exr#34".to_owned(), 4242);
    put(".hidden".to_owned(), 7);
    fs::create_dir_all(root.join("empty folder/inner")).unwrap();
    digest_tree(root)
}

/// Reads everything below `root`; nothing is followed, nothing left out.
pub fn digest_tree(root: &Path) -> Listing {
    let mut nodes = BTreeMap::new();
    collect(root, "", &mut nodes);
    nodes
}

fn collect(folder: &Path, prefix: &str, nodes: &mut Listing) {
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
    for entry in entries.map(Result::unwrap) {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().unwrap();
        let node = if kind.is_dir() {
            collect(&entry.path(), &format!("{name}/"), nodes);
            Node::Folder
        } else if kind.is_file() {
            digest_file(&entry.path())
        } else {
            Node::Other
        };
        nodes.insert(name, node);
    }
}

fn digest_file(path: &Path) -> Node {
    let mut file =
        File::open(path).unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()));
    let (mut hash, mut size_bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = file
            .read(&mut buffer)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        if count == 0 {
            return Node::File { size_bytes, sha256: hex::encode(hash.finalize()) };
        }
        hash.update(&buffer[..count]);
        size_bytes += count as u64;
    }
}
