//! Many files, and a very large one, from upload to delivery. A long campaign:
//! `DATABRIDGE_TEST_LONG=1` runs it; it needs 8 GiB in the temporary folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use databridge_core::app::{App, Call, Config};
use databridge_core::base::cancel::Cancel;
use databridge_core::domains::transfer::Create;
use databridge_tests::delivery;
use databridge_tests::life::{Accident, Life, Source};
use databridge_tests::process::{built, find_program};
use databridge_tests::studio::{Place, Settings, found};
use databridge_tests::tree::digest_tree;

/// Whether the long campaigns run; says so where they do not.
fn is_long(test: &str) -> bool {
    let long = std::env::var("DATABRIDGE_TEST_LONG").is_ok_and(|value| value == "1");
    if !long {
        eprintln!("{test} is left out: it is a long campaign, which DATABRIDGE_TEST_LONG=1 runs");
    }
    long
}

/// Nothing goes wrong, and a job may take longer to begin than the second that a lease has in
/// other tests: one with a hundred thousand files reads them all first.
struct Unhurried;

impl Accident for Unhurried {
    fn settings(&mut self) -> Settings {
        vec![("LEASE_SECONDS", "30".into())]
    }
}

/// Makes a transfer on the embedded store and adds the whole folder in one call.
fn add(place: &Place, source: &Path) -> String {
    let config = Config {
        staging: Some(place.staging.clone()),
        production: Some(place.production.clone().into()),
        ..Config::at(&place.data)
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let app = App::open(config).await.unwrap().app;
        let ctx = app.embedded(Some("artist")).await.unwrap();
        let create = Create {
            title: "a whole sequence".into(),
            project: "film".into(),
            category: "plates".into(),
            chain: None,
            priority: None,
            parents: Vec::new(),
            metadata: Default::default(),
        };
        let made = app.call(&ctx, Call::TransferCreate(create), None).await.unwrap();
        let code = made["code"].as_str().unwrap().to_owned();
        app.add(&ctx, &code, source, Cancel::new()).await.unwrap();
        app.close().await;
        code
    })
}

/// From an embedded store to a delivery by the daemon.
fn deliver(root: &Path, source: Source) {
    let place = Place::below(root);
    let people = found(&place);
    let code = add(&place, &source.root);
    let mut life = Life::at(place, people, source, Unhurried);
    life.code = code;
    life.submit_to_scanned();
    life.start();
    life.expect("delivered");
    delivery::check(&mut life);
}

#[test]
fn a_hundred_thousand_files_are_delivered() {
    if !is_long("a_hundred_thousand_files_are_delivered") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("source");
    for index in 0..100_000_u32 {
        let path = root.join(format!("{:03}/frame.{index:06}.exr", index / 1000));
        if index % 1000 == 0 {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        std::fs::write(path, index.to_be_bytes()).unwrap();
    }
    let listing = digest_tree(&root);
    deliver(folder.path(), Source { root, listing });
}

/// What a program held in memory at most, in KiB (`VmHWM` as GNU time tells it).
fn peak_kib(databridge: &Path, args: &[&str], here: &Path) -> u64 {
    let time = find_program("time", &[], "on Debian `apt-get install time`");
    let told = here.join("peak");
    let mut program = Command::new(time);
    program.args(["-f", "%M", "-o"]).arg(&told).arg(databridge).args(args).current_dir(here);
    let done = program.stdout(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    std::fs::read_to_string(told).unwrap().trim().parse().unwrap()
}

#[test]
fn memory_grows_by_less_than_342_bytes_with_each_file() {
    if !is_long("memory_grows_by_less_than_342_bytes_with_each_file") {
        return;
    }
    const MIB: u64 = 1024;
    let databridge = built("databridge");
    let folder = tempfile::tempdir().unwrap();
    let mut peaks = Vec::new();
    // Of fewer the buffers are not all in use yet.
    for (name, files) in [("few", 50_000_u64), ("many", 250_000)] {
        let root = folder.path().join(name);
        for index in 0..files {
            let path =
                root.join(format!("seq{:03}/show_shot_comp_v003.{index:06}.exr", index / 500));
            if index % 500 == 0 {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            }
            std::fs::write(path, index.to_be_bytes()).unwrap();
        }
        let to = format!("{name}.copy");
        let peak = |args: &[&str]| peak_kib(&databridge, args, folder.path());
        // How many buffers are in use at once differs from run to run.
        let copies = (0..2).map(|_| {
            let copied = peak(&["copy", name, &to, "--json"]);
            std::fs::remove_dir_all(folder.path().join(&to)).unwrap();
            copied
        });
        peaks.push((files, peak(&["checksum", name]), copies.min().unwrap()));
    }
    let [(few, _, small), (many, hashed, large)] = peaks[..] else { unreachable!() };
    assert!(large > small, "{large} KiB for {many} files, {small} KiB for {few}");
    let each = (large - small) * 1024 / (many - few);
    println!("checksum of {many} files: {} MiB", hashed / MIB);
    println!("copy of {many} files: {} MiB, {each} bytes a file", large / MIB);
    assert!(hashed <= 64 * MIB, "{hashed} KiB for the checksums of {many} files");
    assert!(each < 342, "{each} bytes a file");
}

#[test]
fn a_sparse_file_of_six_gibibytes_is_delivered() {
    if !is_long("a_sparse_file_of_six_gibibytes_is_delivered") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("source");
    std::fs::create_dir(&root).unwrap();
    let file = File::create(root.join("master.mov")).unwrap();
    file.set_len(6 << 30).unwrap();
    // Something at both ends, and past what 32 bits can count.
    for offset in [0, (4 << 30) + 7, (6 << 30) - 3] {
        file.write_all_at(b"end", offset).unwrap();
    }
    let listing = digest_tree(&root);
    deliver(folder.path(), Source { root, listing });
}
