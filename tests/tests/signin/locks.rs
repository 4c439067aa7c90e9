//! Guessing is stopped, on every host and over restarts.

use serde_json::json;

use crate::desk::{Desk, Kind, PASSWORD, WRONG, ask, refusal, same};

on_both!(
    guesses_lock_an_account_everywhere,
    many_guesses_at_once_are_no_more_than_few,
    a_guessing_address_is_locked_and_locks_no_accounts
);

fn guesses_lock_an_account_everywhere(kind: Kind) {
    let mut desk = Desk::open_with(kind, vec![("SIGNIN__LOCK_AFTER", "3".into())]);
    desk.hire("ann", &["artist"]);
    desk.hire("bob", &["artist"]);
    // A success takes back what failed before it.
    for _ in 0..2 {
        same(desk.login_refused("ann", "wrong"), WRONG);
    }
    desk.login("ann", PASSWORD).unwrap();
    // Counted as one name, however it is written.
    for name in ["ann", "ANN", " ann "] {
        same(desk.login_refused(name, "wrong"), WRONG);
    }
    same(desk.login_refused("ann", PASSWORD), WRONG);
    assert_eq!(desk.events("user.locked"), 1);
    desk.login("bob", PASSWORD).unwrap();
    desk.restart();
    same(desk.login_refused("ann", PASSWORD), WRONG);
    if kind == Kind::Postgres {
        let second = desk.second();
        let body = json!({ "username": "ann", "password": PASSWORD });
        same(refusal(ask(&second.url, "POST", "/auth/login", "", body)), WRONG);
    }
    // Of somebody unknown nothing else is told.
    for _ in 0..5 {
        same(desk.login_refused("nobody", "wrong"), WRONG);
    }
    assert_eq!(desk.events("user.locked"), 1);
    desk.post("/users/ann/unlock", &desk.admin, json!({}));
    desk.login("ann", PASSWORD).unwrap();
}

fn many_guesses_at_once_are_no_more_than_few(kind: Kind) {
    let desk = Desk::open_with(kind, vec![("SIGNIN__LOCK_AFTER", "3".into())]);
    desk.hire("ann", &["artist"]);
    let url = &desk.running.url;
    let guess = || {
        let body = json!({ "username": "ann", "password": "wrong" });
        same(refusal(ask(url, "POST", "/auth/login", "", body)), WRONG);
    };
    std::thread::scope(|s| {
        for _ in 0..6 {
            s.spawn(guess);
        }
    });
    assert_eq!(desk.events("user.locked"), 1);
    same(desk.login_refused("ann", PASSWORD), WRONG);
}

fn a_guessing_address_is_locked_and_locks_no_accounts(kind: Kind) {
    let settings =
        vec![("SIGNIN__LOCK_AFTER", "3".into()), ("SIGNIN__LOCK_ADDRESS_AFTER", "4".into())];
    let desk = Desk::open_with(kind, settings);
    desk.hire("ann", &["artist"]);
    for name in ["a", "b", "c", "d"] {
        same(desk.login_refused(name, "wrong"), WRONG);
    }
    for _ in 0..4 {
        same(desk.login_refused("ann", PASSWORD), WRONG);
    }
    assert_eq!(desk.events("user.locked"), 0, "an address that is locked locks others");
}
