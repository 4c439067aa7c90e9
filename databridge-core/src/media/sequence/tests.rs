#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn found(names: &[&str], options: Options) -> Vec<String> {
    let names = names.iter().map(|name| (name.as_bytes(), None));
    let all = of_names(names, options).unwrap();
    all.iter().map(text).collect()
}

/// `folder|basename|frames padding|extension`, and what is special.
fn text(one: &Sequence) -> String {
    let mut text = format!(
        "{}|{}|{} {}|{}",
        one.directory.display(),
        one.basename.display(),
        one.frames,
        one.padding(Padding::Hash1),
        one.extension.display()
    );
    for (what, numbers) in [("missing", &one.missing), ("double", &one.duplicates)] {
        if !numbers.is_empty() {
            text.push_str(&format!(" {what} {numbers}"));
        }
    }
    text.push_str(if one.kind == Kind::Tiles { " tiles" } else { "" });
    text
}

const SINGLES: Options = Options { subframes: false, step: 1, singles: true, hidden: false };

#[test]
fn names_come_apart_by_the_rules() {
    for (name, expected) in [
        ("a.1001.exr", "|a.|1001 ####|.exr"),
        ("a_1001.exr", "|a_|1001 ####|.exr"),
        ("1001.exr", "||1001 ####|.exr"),
        ("sim.1001.bgeo.sc", "|sim.|1001 ####|.bgeo.sc"),
        ("a.1001.tar.gz", "|a.|1001 ####|.tar.gz"),
        ("a.1001.mp4", "|a.|1001 ####|.mp4"),
        ("shot_1001.beauty.exr", "|shot_|1001 ####|.beauty.exr"),
        ("a.1001", "|a| |.1001"),
        ("a1001", "|a|1001 ####|"),
        ("readme.txt", "|readme| |.txt"),
        (".hidden", "|| |.hidden"),
        ("shots/010/a.1001.exr", "shots/010|a.|1001 ####|.exr"),
        ("/a.1001.exr", "/|a.|1001 ####|.exr"),
        // Versions.
        ("shot_v002.ma", "|shot_v002| |.ma"),
        ("v2.ma", "|v2| |.ma"),
        ("shot.V002.ma", "|shot.V002| |.ma"),
        ("comp_v003.1001.exr", "|comp_v003.|1001 ####|.exr"),
        ("wave0001.exr", "|wave|1 ####|.exr"),
        ("prev0001.exr", "|prev|1 ####|.exr"),
        ("a.1001_v002.exr", "|a.1001_v002| |.exr"),
        // Signs.
        ("a.-012.exr", "|a.|-12 ####|.exr"),
        ("a_-1.exr", "|a_|-1 ##|.exr"),
        ("a-0012.exr", "|a-|12 ####|.exr"),
        ("a.-000.exr", "|a.-|0 ###|.exr"),
        ("1001-1002.exr", "|1001-|1002 ####|.exr"),
        // No time.
        ("a.20261121104501.exr", "|a.|20261121104501 ##############|.exr"),
        ("a.1234567890123456.exr", "|a.1234567890123456| |.exr"),
        ("a.1.25.exr", "|a.1.|25 ##|.exr"),
    ] {
        assert_eq!(found(&[name], SINGLES), [expected], "{name}");
    }
}

#[test]
fn subframes_where_they_are_asked_for() {
    let options = Options { subframes: true, ..SINGLES };
    for (names, expected) in [
        (&["a.0010.25.exr", "a.0010.50.exr"][..], &["|a.|10.25,10.50 ####.##|"][..]),
        (&["a.-1.5.exr"], &["|a.|-1.5"]),
        (&["comp_v003.1001.exr"], &["|comp_v003.|1001 "]),
        (&["a.1.5.exr", "a.1.25.exr", "a.2.exr"], &["|a.|2 ", "|a.|1.5 ", "|a.|1.25 "]),
    ] {
        let found = found(names, options);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (one, expected) in found.iter().zip(expected) {
            assert!(one.starts_with(expected), "{one}: {expected}");
        }
    }
}

#[test]
fn padding_keeps_apart_what_a_pattern_would_not_find() {
    let all = |names: &[&str]| found(names, Options::default());
    // Of #### is what fills four places or more; 999 does not, 10000 overflows.
    assert_eq!(
        all(&["a.999.exr", "a.0998.exr", "a.10000.exr"]),
        ["|a.|999 ###|.exr", "|a.|998,10000 ####|.exr missing 999-9999"]
    );
    assert_eq!(
        all(&["a.999.exr", "a.1000.exr", "a.0999.exr"]),
        ["|a.|999 ###|.exr double 999", "|a.|999-1000 ####|.exr double 999"]
    );
    assert_eq!(all(&["a.9.exr", "a.10.exr", "a.11.exr"]), ["|a.|9-11 #|.exr"]);
    assert_eq!(all(&["a.-001.exr", "a.0000.exr", "a.0001.exr"]), ["|a.|-1-1 ####|.exr"]);
    assert_eq!(
        all(&["a.1.exr", "a.0001.EXR"]),
        ["|a.|1 ####|.EXR double 1", "|a.|1 #|.exr double 1"]
    );
}

#[test]
fn tiles_are_no_time() {
    let all = |names: &[&str]| found(names, Options::default());
    assert_eq!(all(&["t.1001.exr", "t.1012.exr"])[0], "|t.|1001,1012 ####|.exr missing 1002-1011");
    for mark in ["t.<UDIM>.exr", "T.<udim>.exr", "t.%(UDIM)d.exr"] {
        let names = ["t.1001.exr", "t.1012.exr", mark];
        assert_eq!(all(&names), ["|t.|1001,1012 ####|.exr tiles"], "{mark}");
    }
    assert_eq!(all(&["skin_udim.1001.exr"]), ["|skin_udim.|1001 ####|.exr tiles"]);
    assert_eq!(all(&["nudim.1001.exr"]), ["|nudim.|1001 ####|.exr"]);
    assert_eq!(all(&["t.2001.exr", "t.<UDIM>.exr"]), ["|t.|2001 ####|.exr"]);
}

#[test]
fn what_is_due_is_missing() {
    let on = |step| found(&["a.1.exr", "a.3.exr", "a.9.exr"], Options { step, ..SINGLES });
    assert_eq!(on(1), ["|a.|1,3,9 #|.exr missing 2,4-8"]);
    assert_eq!(on(2), ["|a.|1,3,9 #|.exr missing 5-7x2"]);
    assert_eq!(on(i64::MAX), ["|a.|1,3,9 #|.exr"]);
    for step in [0, -1] {
        assert!(matches!(
            of_names([], Options { step, ..SINGLES }),
            Err(Error::Step(told)) if told == step
        ));
    }
}

#[test]
fn a_folder_is_read_with_sizes_and_links() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir_all(root.join("deep/.cache")).unwrap();
    for (frame, size) in [(1, 100), (2, 100), (3, 0), (4, 100), (5, 90), (7, 100), (8, 100)] {
        std::fs::write(root.join(format!("a.{frame:04}.dpx")), vec![1; size]).unwrap();
    }
    std::fs::write(root.join("deep/b.1.exr"), "x").unwrap();
    std::fs::write(root.join("deep/.cache/c.1.exr"), "x").unwrap();
    std::fs::write(root.join(".d.1.exr"), "x").unwrap();
    std::os::unix::fs::symlink("nowhere", root.join("a.0006.dpx")).unwrap();
    let all = below(root, true, Options::default(), &()).unwrap();
    let [a, b] = &all[..] else { panic!("{all:?}") };
    assert_eq!((a.frames.to_string(), a.total_bytes), ("1-8".into(), None));
    assert_eq!((a.zero_byte.to_string(), a.outliers.to_string()), ("3".into(), "5".into()));
    assert_eq!((b.directory.as_path(), b.total_bytes), (root.join("deep").as_path(), Some(1)));
    assert_eq!(below(root, false, Options::default(), &()).unwrap().len(), 1);
    let all = below(root, true, Options { hidden: true, ..Options::default() }, &()).unwrap();
    assert_eq!(all.len(), 4);
    let stopped = crate::base::cancel::Cancel::new();
    stopped.cancel();
    assert!(matches!(below(root, true, Options::default(), &stopped), Err(Error::Cancelled)));
    assert!(below(&root.join("a.0001.dpx"), true, Options::default(), &()).is_err());
}

#[test]
fn styles() {
    let of = |style: Padding| [1, 2, 4, 5, 8].map(|width| style.text(width));
    assert_eq!(of(Padding::Hash1), ["#", "##", "####", "#####", "########"]);
    assert_eq!(of(Padding::Hash4), ["@", "@@", "#", "@@@@@", "##"]);
    assert_eq!("hash4".parse::<Padding>().unwrap(), Padding::Hash4);
    assert!("####".parse::<Padding>().is_err());
}

fn numbers() -> impl Strategy<Value = BTreeSet<i64>> {
    prop::collection::btree_set(prop_oneof![-20..20i64, 990..1010i64, 9990..10010i64], 1..40)
}

proptest! {
    #[test]
    fn a_set_and_its_gaps_are_the_whole(set in numbers()) {
        let rising: Vec<_> = set.iter().copied().collect();
        let told = Numbers::of(&rising, 0);
        prop_assert_eq!(told.iter().collect::<Vec<_>>(), rising.clone());
        prop_assert_eq!(told.count(), rising.len() as u64);
        let mut both: Vec<_> = Numbers::gaps(&rising, 1).iter().chain(rising.clone()).collect();
        both.sort_unstable();
        prop_assert_eq!(both, (rising[0]..=rising[rising.len() - 1]).collect::<Vec<_>>());
    }

    #[test]
    fn frames_of_one_padding_are_one_sequence(
        set in numbers(), width in 1..8usize, base in "[a-u]{1,3}[._]",
    ) {
        let names: Vec<_> = set.iter().map(|frame| format!("{base}{frame:0width$}.exr")).collect();
        let all = of_names(names.iter().map(|name| (name.as_bytes(), None)), SINGLES).unwrap();
        prop_assert_eq!(all.len(), 1);
        prop_assert_eq!(all[0].frames.iter().collect::<BTreeSet<_>>(), set);
        prop_assert!(all[0].width >= width);
    }

    #[test]
    fn each_name_is_in_one_place(
        names in prop::collection::btree_set("[av_.-]{0,2}[0-9]{0,4}[av_.-]{0,2}[0-9]{0,3}(\\.[a-z0-9]{1,3}){0,2}", 0..30),
        subframes: bool,
    ) {
        let options = Options { subframes, hidden: true, ..SINGLES };
        let given: BTreeSet<_> = names.iter().filter(|name| !name.is_empty()).cloned().collect();
        let all = of_names(given.iter().map(|name| (name.as_bytes(), None)), options).unwrap();
        let mut told = BTreeSet::new();
        for one in &all {
            let (base, extension) = (one.basename.to_str().unwrap(), one.extension.to_str().unwrap());
            if one.kind == Kind::Single {
                let name = format!("{base}{extension}");
                prop_assert!(told.insert(name));
            }
            for frame in one.frames.iter() {
                let unit = 10_i64.pow(one.frames.decimals() as u32);
                let sign = if frame < 0 { "-" } else { "" };
                let width = one.width - sign.len();
                let mut text = format!("{sign}{:0width$}", frame.abs() / unit);
                if unit > 1 {
                    text.push_str(&format!(".{:01$}", frame.abs() % unit, one.frames.decimals()));
                }
                let name = format!("{base}{text}{extension}");
                prop_assert!(told.insert(name));
            }
        }
        prop_assert_eq!(told, given);
    }
}
