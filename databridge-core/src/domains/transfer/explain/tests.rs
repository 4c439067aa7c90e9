#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::json;
use uuid::Uuid;

use super::super::chain::default_stages;
use super::super::{Chain, Pause, Priority};
use super::*;
use crate::base::id::{JobId, UserId};
use crate::control::ctx::Authority;

const NOW: Timestamp = Timestamp::from_micros(1_795_000_000_000_000);

fn transfer(state: State) -> Transfer {
    let chain =
        Chain { id: Uuid::nil(), name: "default".into(), version: 1, stages: default_stages() };
    Transfer {
        id: Uuid::nil(),
        code: "TRF-00042".into(),
        title: "shot 010".into(),
        project: "film".into(),
        category: "plates".into(),
        owner_id: UserId::new(),
        owner: "ada".into(),
        chain,
        state,
        stage: 1,
        revision: 1,
        version: 1,
        manifest_digest: None,
        reason: Some("the matte is cut".into()),
        failure: Some(json!({ "message": "no room", "hint": "Make room." })),
        priority: Priority::Normal,
        paused: None,
        destination: Some("film/plates/TRF-00042".into()),
        path: "film/plates/TRF-00042".into(),
        metadata: Default::default(),
        recall: None,
        parents: Vec::new(),
        created_at: NOW,
        updated_at: NOW,
        delivered_at: None,
        authority: Authority::Daemon,
    }
}

fn job(state: jobs::State) -> JobView {
    JobView {
        id: JobId::new(),
        kind: "transfer.copy".into(),
        subject_id: Uuid::nil(),
        state,
        attempts: 2,
        priority: 0,
        held: false,
        progress: None,
        last_error: Some("the mount is gone".into()),
        run_at: NOW - Duration::from_secs(600),
        created_at: NOW,
        finished_at: None,
    }
}

fn explained(t: &Transfer, files: u64, job: Option<&JobView>) -> Explanation {
    let since = NOW - Duration::from_secs(3 * 86_400 + 5);
    Facts { t, files, since, now: NOW, job, shortage: None, hooks: &[] }.explain()
}

/// A state, what it waits for, what is next and by whom, and what its paragraph must say.
type Expected = (State, Waits, &'static [(&'static str, &'static str)], &'static str);

/// Each state, typed from the table of steps.
const STATES: &[Expected] = {
    use State::*;
    use Waits::{Nothing, Person, Work};
    &[
        (Draft, Person, &[("upload", "ada")], "nothing in it yet"),
        (Uploading, Person, &[("upload", "ada"), ("submit", "ada")], "not submitted"),
        (Submitting, Work, &[], "waited for a worker for 10 minutes"),
        (SubmitFailed, Person, &[("upload", "ada"), ("retry", "ada")], "no room"),
        (Review, Person, &[("approve", "supervisor"), ("reject", "supervisor")], "Stage 2 of 3"),
        (Approved, Person, &[("scan", "data_team")], "Every stage agreed"),
        (Scanning, Work, &[], "waited for a worker"),
        (ScanFailed, Person, &[("retry", "data_team")], "Make room."),
        (
            Undecided,
            Person,
            &[("accept", "data_team"), ("send_back", "data_team"), ("scan", "data_team")],
            "no verdict",
        ),
        (Infected, Person, &[("send_back", "data_team"), ("release", "admin")], "in quarantine"),
        (Scanned, Person, &[("start", "it_team")], "may go to production"),
        (Preparing, Work, &[], "waited for a worker"),
        (PrepareFailed, Person, &[("retry", "it_team")], "given up: no room"),
        (Transferring, Work, &[], "waited for a worker"),
        (TransferFailed, Person, &[("retry", "it_team")], "given up: no room"),
        (Verifying, Work, &[], "waited for a worker"),
        (VerifyFailed, Person, &[("retry", "it_team")], "given up: no room"),
        (Delivered, Nothing, &[], "published as film/plates/TRF-00042"),
        (Recalling, Work, &[], "waited for a worker"),
        (RecallFailed, Person, &[("retry", "it_team")], "given up: no room"),
        (Recalled, Nothing, &[], "moved aside, out of production"),
        (Rejected, Person, &[("upload", "ada"), ("submit", "ada")], "the matte is cut"),
        (Cancelling, Work, &[], "waited for a worker"),
        (CancelFailed, Person, &[("retry", "it_team")], "given up: no room"),
        (Cancelled, Nothing, &[], "withdrawn: the matte is cut"),
    ]
};

#[test]
fn every_state_is_explained() {
    assert_eq!(STATES.len(), State::ALL.len());
    let queued = job(jobs::State::Ready);
    for (state, waits, next, says) in STATES {
        let found = explained(&transfer(*state), 3, Some(&queued));
        assert_eq!(found.waits_for, *waits, "{state}");
        let steps: Vec<_> = found.next.iter().map(|step| step.action).collect();
        let mut expected: Vec<_> = next.iter().map(|(action, _)| *action).collect();
        let (mut sorted, text) = (steps.clone(), &found.text);
        sorted.sort_unstable();
        expected.sort_unstable();
        assert_eq!(sorted, expected, "{state}");
        for (action, by) in *next {
            let step = found.next.iter().find(|step| step.action == *action).unwrap();
            assert!(step.by.iter().any(|who| who == by), "{state}: {step:?}");
            assert!(text.contains(&step.command), "{text}");
        }
        assert!(text.contains(says) && text.contains("3 days"), "{state}: {text}");
        assert!(text.starts_with("TRF-00042 (\"shot 010\", film/plates, by ada)"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.ends_with('.') && !text.contains("..") && !text.contains("  "), "{text}");
        // Whoever waits has something to do.
        assert_eq!(*waits == Waits::Person, !next.is_empty(), "{state}");
    }
}

#[test]
fn work_is_told_as_it_is() {
    let t = transfer(State::Transferring);
    let with = |change: &dyn Fn(&mut JobView)| {
        let mut job = job(jobs::State::Leased);
        change(&mut job);
        explained(&t, 3, Some(&job)).text
    };
    assert!(with(&|_| ()).contains("A worker is at it."));
    let half = with(&|job| job.progress = Some(json!({ "bytes": 5, "total_bytes": 10 })));
    assert!(half.contains("50% of this pass"), "{half}");
    let window = with(&|job| job.progress = Some(json!({ "held": "window" })));
    assert!(window.contains("time window"), "{window}");
    let again = with(&|job| {
        job.state = jobs::State::Ready;
        job.run_at = NOW + Duration::from_secs(60);
    });
    assert!(again.contains("2 times (the mount is gone) and is tried again at"), "{again}");
    assert!(explained(&t, 3, None).text.contains("please report it"));
}

#[test]
fn who_paused_it_is_told() {
    let mut t = transfer(State::Transferring);
    t.paused = Some(Pause { by: "lin".into(), at: NOW, reason: Some("the show is on".into()) });
    let found = explained(&t, 3, Some(&job(jobs::State::Ready)));
    assert_eq!(found.waits_for, Waits::Person);
    assert!(found.text.contains("lin has let the work stand still"), "{}", found.text);
    assert!(found.text.contains("the show is on"), "{}", found.text);
    assert_eq!(found.next[0].command, "databridge transfer resume TRF-00042");
    assert!(found.next[0].by.contains(&"it_team".to_owned()));
}

#[test]
fn nothing_is_submitted_that_is_empty() {
    let found = explained(&transfer(State::Uploading), 0, None);
    assert_eq!(found.next.len(), 1);
    assert!(found.text.contains("nothing in it any more"), "{}", found.text);
}

#[test]
fn spans_are_short() {
    for (seconds, says) in [
        (59, "less than a minute"),
        (60, "1 minute"),
        (7199, "1 hour"),
        (7200, "2 hours"),
        (86_400, "1 day"),
        (400 * 86_400, "400 days"),
    ] {
        assert_eq!(span(Duration::from_secs(seconds)), says);
    }
}
