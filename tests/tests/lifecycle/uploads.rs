//! Uploads in pieces as the library has them: whose they are, what is collected, and that
//! whatever happens to one, it ends as the bytes that were sent.

use std::io::{Cursor, Read};

use databridge_core::base::cancel::Cancel;
use databridge_core::base::error::Error;
use databridge_core::control::ctx::Ctx;
use databridge_core::domains::transfer::{Checked, NewUpload, Piece, UploadView};
use databridge_core::media::checksum::Algorithm;
use databridge_core::media::storage::RelPath;
use databridge_tests::mounts::{self, require_root};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use crate::lab::{Kind, Lab};

on_both!(
    uploads_of_another_organisation_are_not_there,
    what_two_send_of_no_length_is_within_the_quota,
    what_nobody_came_back_for_is_collected,
    without_a_schedule_uploads_expire_all_the_same,
);

async fn begin(lab: &Lab, code: &str, path: &str, length_bytes: u64) -> UploadView {
    let path = RelPath::parse(path).unwrap();
    let new = NewUpload { path, length_bytes: Some(length_bytes), metadata: String::new() };
    lab.app.transfers().begin_upload(lab.who("artist"), code, new).await.unwrap()
}

async fn send(
    lab: &Lab,
    ctx: &Ctx,
    upload: &UploadView,
    piece: Piece,
    source: impl Read + Send + 'static,
) -> Result<UploadView, Error> {
    let service = lab.app.transfers();
    let writer = service.take_up(ctx, &upload.code, upload.id, piece).await?;
    service.append(ctx, writer.expect("it is at its end"), source).await
}

fn at(offset: u64) -> Piece {
    Piece { offset, ..Piece::default() }
}

async fn what_two_send_of_no_length_is_within_the_quota(kind: Kind) {
    let lab = Lab::open_with(kind, |config| config.uploads.transfer_bytes = Some(10)).await;
    let (code, service, ctx) = (lab.create().await, lab.app.transfers(), lab.who("artist"));
    let begin = async |path: &str| {
        let path = RelPath::parse(path).unwrap();
        let new = NewUpload { path, length_bytes: None, metadata: String::new() };
        let begun = service.begin_upload(ctx, &code, new).await.unwrap();
        service.take_up(ctx, &code, begun.id, at(0)).await.unwrap().unwrap()
    };
    // Both are told of all the room that there is.
    let (first, second) = (begin("a.exr").await, begin("b.exr").await);
    let kept = service.append(ctx, first, Cursor::new([1; 8])).await.unwrap();
    assert_eq!((kept.offset_bytes, kept.done), (8, false));
    let refused = service.append(ctx, second, Cursor::new([2; 8])).await.unwrap_err();
    assert_eq!(refused.code(), "upload.transfer_quota");
}

async fn uploads_of_another_organisation_are_not_there(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.create().await;
    let upload = begin(&lab, &code, "a.exr", 4).await;
    let (org, _) = lab.organisation("rival").await;
    lab.sql(&format!("UPDATE transfers SET org_id = '{org}' WHERE code = '{code}'"));
    let t = lab.app.transfers();
    for who in ["artist", "chief"] {
        let ctx = lab.who(who);
        let refusals = [
            t.look_at_upload(ctx, &code, upload.id).await.map(drop),
            t.end_upload(ctx, &code, upload.id).await,
            t.uploads(ctx, &code).await.map(drop),
            send(&lab, ctx, &upload, at(0), Cursor::new(b"four")).await.map(drop),
        ];
        for refusal in refusals {
            assert_eq!(refusal.unwrap_err().code(), "transfer.not_found", "{who}");
        }
    }
    lab.sql("UPDATE transfer_uploads SET expires_at = created_at");
    let swept = lab.ok("chief", "upload_collect", json!({})).await;
    assert_eq!(swept, json!([]));
    // Nor those of another's transfer.
    let code = lab.create().await;
    let upload = begin(&lab, &code, "a.exr", 4).await;
    let refused = t.look_at_upload(lab.who("other"), &code, upload.id).await.unwrap_err();
    assert_eq!(refused.code(), "transfer.not_found");
}

/// `every_hours = 0` leaves what staging no longer needs to whoever asks for it; how long
/// an upload waits is a setting of its own.
async fn without_a_schedule_uploads_expire_all_the_same(kind: Kind) {
    let lab = Lab::open_with(kind, |config| {
        config.housekeeping.every_hours = 0;
        config.housekeeping.orphans_hours = 24;
    })
    .await;
    lab.mature();
    let code = lab.create().await;
    let old = begin(&lab, &code, "old.exr", 4).await;
    let uploads = lab.app.config().places().uploads();
    let orphan = uploads.join("0000000000000000000000000000dead");
    std::fs::write(&orphan, "left over").unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(48 * 3600);
    std::fs::File::open(&orphan).unwrap().set_modified(long_ago).unwrap();
    lab.sql("UPDATE transfer_uploads SET expires_at = created_at");
    let new = begin(&lab, &code, "new.exr", 4).await;
    let blob = |upload: &UploadView| uploads.join(upload.id.simple().to_string());
    lab.app.ask_for_housekeeping().await.unwrap();
    let [house, ..] = lab.app.chores();
    while house.step(&Cancel::new()).await.unwrap() {}
    assert!(!blob(&old).exists() && blob(&new).exists());
    assert!(orphan.exists(), "the rest waits until somebody asks");
    let root = lab.app.embedded(None).await.unwrap();
    lab.app.call(&root, crate::lab::call("housekeeping_run", json!({})), None).await.unwrap();
    assert!(!orphan.exists());
}

async fn what_nobody_came_back_for_is_collected(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.create().await;
    let artist = lab.who("artist");
    let old = begin(&lab, &code, "old.exr", 4).await;
    send(&lab, artist, &old, at(0), Cursor::new(b"ol")).await.unwrap();
    let done = begin(&lab, &code, "done.exr", 4).await;
    assert!(send(&lab, artist, &done, at(0), Cursor::new(b"done")).await.unwrap().done);
    lab.sql("UPDATE transfer_uploads SET expires_at = created_at");
    let new = begin(&lab, &code, "new.exr", 4).await;
    let uploads = lab.app.config().places().uploads();
    let blob = |upload: &UploadView| uploads.join(upload.id.simple().to_string());
    let refused = lab.refused("artist", "upload_collect", json!({})).await;
    assert_eq!(refused.code(), "identity.forbidden");
    let expired = lab.app.transfers().look_at_upload(artist, &code, old.id).await.unwrap_err();
    assert_eq!(expired.code(), "upload.expired");
    // A dry run tells, and does nothing.
    for dry_run in [true, true, false] {
        assert!(blob(&old).exists());
        let found = lab.ok("chief", "upload_collect", json!({ "dry_run": dry_run })).await;
        assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
        assert_eq!((&found[0]["path"], &found[0]["kept_bytes"]), (&json!("old.exr"), &json!(2)));
        assert_eq!(found[0]["username"], "artist");
    }
    assert!(!blob(&old).exists() && blob(&new).exists());
    assert_eq!(lab.ok("chief", "upload_collect", json!({})).await, json!([]));
    let gone = lab.app.transfers().look_at_upload(artist, &code, old.id).await.unwrap_err();
    assert_eq!(gone.code(), "upload.not_found");
    // The file of the one that was done is a file like any other.
    let files = lab.ok("artist", "transfer_files", json!({ "code": code })).await;
    assert_eq!(files.as_array().unwrap().len(), 1);
    let refused = lab.refused("artist", "transfer_submit", json!({ "code": code })).await;
    assert_eq!(refused.code(), "upload.unfinished");
    let listed = lab.ok("artist", "upload_list", json!({ "code": code })).await;
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["path"]), (1, &json!("new.exr")));
    lab.ok("artist", "upload_end", json!({ "code": code, "id": new.id })).await;
    assert!(!blob(&new).exists());
    let none = json!({ "code": code, "id": Uuid::nil() });
    assert_eq!(lab.refused("artist", "upload_end", none).await.code(), "upload.not_found");
    lab.ok("artist", "transfer_submit", json!({ "code": code })).await;
    assert_eq!(lab.settle(&code).await, "team_lead_review");
}

/// On a mount with reflinks a file that lies there already is taken in without being
/// written once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_on_the_mount_is_shared_where_that_can_be() {
    const LENGTH: usize = 64 << 20;
    if !require_root("what_lies_on_the_mount_is_shared_where_that_can_be") {
        return;
    }
    let Some(disk) = mounts::xfs(320 << 20) else { return };
    let lab = Lab::open_with(Kind::Sqlite, |config| {
        config.staging = Some(disk.path().join("staging"));
    })
    .await;
    let renders = disk.path().join("renders");
    std::fs::create_dir(&renders).unwrap();
    let bytes: Vec<u8> = (0..LENGTH).map(|i| (i % 251) as u8).collect();
    std::fs::write(renders.join("shot.mov"), &bytes).unwrap();
    rustix::fs::sync();
    let free = || {
        let stat = rustix::fs::statvfs(disk.path()).unwrap();
        stat.f_bfree * stat.f_frsize
    };
    let (code, before) = (lab.create().await, free());
    lab.try_add("artist", &code, &renders).await.unwrap();
    rustix::fs::sync();
    let taken = before.saturating_sub(free());
    assert!(taken < LENGTH as u64 / 2, "{taken} bytes were written");
    let files = lab.ok("artist", "transfer_files", json!({ "code": code })).await;
    assert_eq!(files[0]["sha256"], checked(&bytes).unwrap().digest);
    // It is no name of the artist's own file: what is written there goes nowhere else.
    std::fs::write(renders.join("shot.mov"), b"another take").unwrap();
    lab.ok("artist", "transfer_submit", json!({ "code": code })).await;
    assert_eq!(lab.settle(&code).await, "team_lead_review");
}

/// What happens to an upload.
#[derive(Debug, Clone)]
enum Happens {
    /// A piece comes in.
    Piece(usize),
    /// One with a checksum, the right or a wrong one.
    Checked(usize, bool),
    /// The sender breaks off; with a checksum nothing counts, as after a kill.
    Broken(usize, bool),
    /// Somebody sends from another place.
    Astray(u64),
    /// The state of the digest is of another version.
    Unread,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        3 => (0..5000usize).prop_map(Happens::Piece),
        2 => (0..5000usize, any::<bool>()).prop_map(|(n, right)| Happens::Checked(n, right)),
        2 => (0..5000usize, any::<bool>()).prop_map(|(n, checked)| Happens::Broken(n, checked)),
        1 => (0..20_000u64).prop_map(Happens::Astray),
        1 => Just(Happens::Unread),
    ]
}

/// A source that fails at its end.
struct Failing(Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(std::io::ErrorKind::ConnectionReset.into()),
            n => Ok(n),
        }
    }
}

fn checked(bytes: &[u8]) -> Option<Checked> {
    use sha2::Digest;
    let digest = hex::encode(sha2::Sha256::digest(bytes));
    Some(Checked { algorithm: Algorithm::Sha256, digest })
}

async fn run(lab: &Lab, bytes: &[u8], all: Vec<Happens>) {
    let (code, artist) = (lab.create().await, lab.who("artist"));
    let upload = begin(lab, &code, "a.exr", bytes.len() as u64).await;
    let mut sent = 0;
    for one in all {
        let here = at(sent as u64);
        let part = |n: usize| &bytes[sent..(sent + n).min(bytes.len())];
        let to = |part: &[u8]| Cursor::new(part.to_vec());
        match one {
            _ if sent == bytes.len() => break,
            Happens::Piece(n) => {
                send(lab, artist, &upload, here, to(part(n))).await.unwrap();
                sent += part(n).len();
            }
            Happens::Checked(n, true) => {
                let piece = Piece { checked: checked(part(n)), ..here };
                send(lab, artist, &upload, piece, to(part(n))).await.unwrap();
                sent += part(n).len();
            }
            Happens::Checked(n, false) => {
                let piece = Piece { checked: checked(b"other"), ..here };
                let refused = send(lab, artist, &upload, piece, to(part(n))).await.unwrap_err();
                assert_eq!(refused.code(), "upload.checksum");
            }
            // All that is announced is here: how the request ends does not matter.
            Happens::Broken(n, _) if sent + n >= bytes.len() => {}
            Happens::Broken(n, is_checked) => {
                let checked = is_checked.then(|| checked(part(n))).flatten();
                let piece = Piece { checked, ..here };
                let source = Failing(to(part(n)));
                let refused = send(lab, artist, &upload, piece, source).await.unwrap_err();
                assert_eq!(refused.code(), "upload.interrupted");
                sent += if is_checked { 0 } else { part(n).len() };
            }
            Happens::Astray(offset) if offset == sent as u64 => {}
            Happens::Astray(offset) => {
                let wrong = send(lab, artist, &upload, at(offset), to(b"x")).await.unwrap_err();
                assert_eq!(wrong.code(), "upload.wrong_offset");
            }
            Happens::Unread => {
                lab.sql(&format!(
                    "UPDATE transfer_uploads SET hash = NULL WHERE id = '{}'",
                    upload.id
                ));
            }
        }
        let seen = lab.app.transfers().look_at_upload(artist, &code, upload.id).await.unwrap();
        assert_eq!(seen.offset_bytes, sent as u64);
        assert_eq!(seen.done, sent == bytes.len());
    }
    if sent < bytes.len() {
        let rest = Cursor::new(bytes[sent..].to_vec());
        assert!(send(lab, artist, &upload, at(sent as u64), rest).await.unwrap().done);
    }
    let blob = lab.app.config().places().incoming(&code, 1).join(upload.id.simple().to_string());
    assert!(std::fs::read(blob).unwrap() == bytes);
    let files = lab.ok("artist", "transfer_files", json!({ "code": code })).await;
    assert_eq!(files[0]["sha256"], checked(bytes).unwrap().digest);
}

#[test]
fn any_sequence_of_pieces_is_the_bytes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lab = runtime.block_on(Lab::open(Kind::Sqlite));
    let cases = std::env::var("PROPTEST_CASES").map_or(40, |cases| cases.parse().unwrap());
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let all = proptest::collection::vec(happens(), 0..10);
    let bytes = proptest::collection::vec(any::<u8>(), 1..16_000);
    proptest!(config, |(all in all, bytes in bytes)| {
        runtime.block_on(run(&lab, &bytes, all));
    });
}
