//! How much may be put into a transfer, and into all of one user's.

use serde_json::json;

use super::Tus;
use crate::desk::{Answer, Desk, Kind, raw};

on_both!(quotas_hold_for_pieces_and_for_puts, what_many_send_at_once_is_within_the_quota);

fn put(tus: &Tus<'_>, path: &str, bytes: &[u8], chunked: bool) -> Answer {
    let path = format!("/api/v1/transfers/{}/files/{path}", tus.code);
    if !chunked {
        return tus.desk.raw("PUT", &path, &tus.spoken(), bytes);
    }
    let mut headers = tus.spoken();
    headers.push(("transfer-encoding", "chunked".into()));
    tus.desk.raw("PUT", &path, &headers, &in_one_chunk(bytes))
}

fn in_one_chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n0\r\n\r\n"].concat()
}

fn quotas_hold_for_pieces_and_for_puts(kind: Kind) {
    let settings =
        vec![("UPLOADS__TRANSFER_BYTES", "100".into()), ("UPLOADS__USER_BYTES", "150".into())];
    let desk = Desk::open_with(kind, &settings);
    let tus = Tus::new(&desk);
    tus.try_begin("a", 101, &[]).refused(413, "upload.transfer_quota");
    // What is announced counts, whether it comes or not.
    let at = tus.begin("a", 60);
    tus.try_begin("b", 41, &[]).refused(413, "upload.transfer_quota");
    put(&tus, "b", &[0; 41], false).refused(413, "upload.transfer_quota");
    // Where the length is not said, it is noticed on the way.
    put(&tus, "b", &[0; 41], true).refused(413, "upload.transfer_quota");
    assert_eq!(put(&tus, "b", &[0; 40], true).status, 200);
    assert_eq!(tus.send(&at, 0, &[1; 60]), 60);
    put(&tus, "c", &[0; 1], false).refused(413, "upload.transfer_quota");
    // What is replaced makes room for what comes in its place.
    assert_eq!(put(&tus, "b", &[2; 40], false).status, 200);
    assert_eq!(tus.files().len(), 2);
    // The user's other transfers count, until they are at their end.
    let second = Tus::new(&desk);
    second.try_begin("a", 51, &[]).refused(413, "upload.user_quota");
    let answer = put(&second, "a", &[0; 51], true);
    answer.refused(413, "upload.user_quota");
    assert!(answer.json()["detail"].as_str().unwrap().starts_with("artist may have 150 bytes"));
    assert!(answer.json()["hint"].is_string());
    let given_up = second.begin("a", 50);
    put(&second, "b", &[0; 1], false).refused(413, "upload.user_quota");
    assert_eq!(second.ask("DELETE", &given_up, &[], b"").status, 204);
    assert_eq!(put(&second, "b", &[0; 50], false).status, 200);
    desk.ok("artist", "POST", &format!("/transfers/{}/cancel", tus.code), json!({}));
    assert_eq!(put(&second, "c", &[0; 50], false).status, 200);
    // Nothing that was refused is left.
    let left: Vec<_> = std::fs::read_dir(desk.place.staging.join(".uploads")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

fn what_many_send_at_once_is_within_the_quota(kind: Kind) {
    let desk = Desk::open_with(kind, &vec![("UPLOADS__USER_BYTES", "50".into())]);
    let both = [Tus::new(&desk), Tus::new(&desk)];
    let address = desk.address();
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let sent: Vec<_> = (0..12)
            .map(|n| {
                let tus = &both[n % 2];
                let (mut headers, name) = (tus.spoken(), n.to_string());
                let (files, uploads) =
                    (format!("/api/v1/transfers/{}/files/{n}", tus.code), tus.uploads());
                scope.spawn(move || match n % 4 {
                    0 => raw(address, "PUT", &files, &headers, &[0; 10]),
                    1 => {
                        headers.push(("transfer-encoding", "chunked".into()));
                        raw(address, "PUT", &files, &headers, &in_one_chunk(&[0; 10]))
                    }
                    _ => {
                        headers.extend(Tus::of_a_new_one(&name, 10));
                        raw(address, "POST", &uploads, &headers, b"")
                    }
                })
            })
            .collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    let let_in = answers.iter().filter(|answer| answer.status < 300).count();
    assert_eq!(let_in, 5, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status >= 300) {
        answer.refused(413, "upload.user_quota");
    }
}
