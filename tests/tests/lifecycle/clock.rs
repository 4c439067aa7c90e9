//! Tokens under a clock that jumps. What holds: a token and the session behind it end by
//! the store's clock, which issued them. Set ahead, it ends them early; set back, it lets
//! none live longer than two of its terms: people then sign in anew.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use databridge_core::app::MIGRATIONS;
use databridge_core::base::clock::Timestamp;
use databridge_core::control::commands::Store;
use databridge_core::control::db::Db;
use databridge_core::control::identity::{Attempt, Entrance, Session, Tokens, signin};

use crate::lab::{Kind, Lab};

const PASSWORD: &str = "a long new password";
const HOUR: Duration = Duration::from_secs(3600);

static CLOCK: AtomicI64 = AtomicI64::new(0);

fn clock() -> Timestamp {
    Timestamp::from_micros(CLOCK.load(Ordering::SeqCst))
}

fn set(to: Timestamp) {
    CLOCK.store(to.as_micros(), Ordering::SeqCst);
}

async fn holds(entrance: &Entrance, session: &Session) -> bool {
    match entrance.authenticate(&session.access_token).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code(), "identity.bad_token", "{error:?}");
            false
        }
    }
}

/// PostgreSQL's clock is its own, which a test cannot move.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_live_no_longer_than_they_were_given() {
    let lab = Lab::open(Kind::Sqlite).await;
    // Not the host's time: what is issued here would be over for it, or not begun.
    let now = Timestamp::now() - HOUR * 24 * 365;
    set(now);
    let target = lab.app.config().target();
    let store = Store::new(Db::open_with_clock(&target, MIGRATIONS, clock).await.unwrap());
    let (tokens, settings) = (Tokens::new(&[7; 48]), signin::Settings::default());
    let entrance = Entrance::new(store, tokens, lab.app.org(), settings, None);
    let sign_in = async |password: &str, new: Option<&str>| {
        let attempt = Attempt {
            username: "admin".into(),
            password: password.into(),
            new_password: new.map(str::to_owned),
            address: None,
        };
        entrance.sign_in(attempt).await.unwrap()
    };
    let first = sign_in(&lab.one_time_password, Some(PASSWORD)).await;
    assert!(holds(&entrance, &first).await);
    // Ahead: it holds as long as it was told, to the second, and is renewed as told.
    set(now + HOUR * 8 - Duration::from_secs(1));
    assert!(holds(&entrance, &first).await);
    set(now + HOUR * 8);
    assert!(!holds(&entrance, &first).await);
    let second = entrance.refresh(&first.refresh_token).await.unwrap();
    assert!(holds(&entrance, &second).await);
    set(now + HOUR * 24 * 8);
    let late = entrance.refresh(&second.refresh_token).await.unwrap_err();
    assert_eq!(late.code(), "identity.bad_token");
    // Back, by less than a term: who was signed in still is. By more: no longer.
    set(now + HOUR * 2);
    assert!(holds(&entrance, &second).await);
    set(now - HOUR);
    assert!(!holds(&entrance, &second).await);
    // Issued ten years ahead, it is no token for ten years.
    set(now + HOUR * 24 * 3650);
    let ahead = sign_in(PASSWORD, None).await;
    assert!(holds(&entrance, &ahead).await);
    set(now);
    assert!(!holds(&entrance, &ahead).await);
    let refused = entrance.refresh(&ahead.refresh_token).await.unwrap_err();
    assert_eq!(refused.code(), "identity.bad_token");
    // And whoever signs in now is in.
    let again = sign_in(PASSWORD, None).await;
    assert!(holds(&entrance, &again).await);
}
