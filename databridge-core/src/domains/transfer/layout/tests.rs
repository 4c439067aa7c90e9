#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::template::Piece;
use super::*;

fn metadata(pairs: &[(&str, &str)]) -> Metadata {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), Meta::Text((*text).to_owned()))).collect()
}

fn layout(template: &str) -> Layout {
    Layout { template: Template::parse(template).unwrap(), ..Layout::default() }
}

#[test]
fn the_default_is_the_layout_of_ever() {
    let layout = Layout::default();
    assert!(layout.check().is_ok());
    let path = layout.path("film", "plates", "TRF-00042", &Metadata::new()).unwrap();
    assert_eq!(path, "film/plates/TRF-00042");
    assert_eq!(layout.template.to_string(), "{project}/{category}/{code}");
}

#[test]
fn fields_are_filled_in_and_numbers_have_their_digits() {
    let layout = layout("{project}/{sequence}/{shot}/{task}_v{version:03}/{code}");
    assert!(layout.check().is_ok());
    let given = metadata(&[
        ("sequence", "sq010"),
        ("shot", "sh0010"),
        ("task", "comp"),
        ("version", "7"),
        ("vendor", "moonlight"),
    ]);
    let given = layout.admit(&given).unwrap();
    assert_eq!(given["version"], Meta::Number(7));
    assert_eq!(
        layout.path("film", "plates", "TRF-00042", &given).unwrap(),
        "film/sq010/sh0010/comp_v007/TRF-00042"
    );
    let missing = layout.path("film", "plates", "TRF-00042", &metadata(&[("task", "comp")]));
    assert_eq!(
        missing.unwrap_err().to_string(),
        "deliveries of film/plates go to {project}/{sequence}/{shot}/{task}_v{version:03}/{code}: \
         without sequence, shot, version there is no such path"
    );
}

#[test]
fn the_last_rule_that_matches_counts() {
    let rule = |project: Option<&str>, category: Option<&str>, template: &str| Rule {
        project: project.map(str::to_owned),
        category: category.map(str::to_owned),
        template: Template::parse(template).unwrap(),
    };
    let layout = Layout {
        rule: vec![
            rule(None, Some("plates"), "plates/{project}/{code}"),
            rule(Some("film"), None, "film/all/{code}"),
            rule(Some("film"), Some("audio"), "sound/{code}"),
        ],
        ..Layout::default()
    };
    for (project, category, path) in [
        ("show", "plates", "plates/show/T-1"),
        ("film", "plates", "film/all/T-1"),
        ("film", "audio", "sound/T-1"),
        ("show", "audio", "show/audio/T-1"),
    ] {
        assert_eq!(layout.path(project, category, "T-1", &Metadata::new()).unwrap(), path);
    }
}

#[test]
fn what_is_no_template_is_refused_with_its_reason() {
    for (text, reason) in [
        ("", "nothing between two slashes"),
        ("/{project}", "nothing between two slashes"),
        ("{project}/", "nothing between two slashes"),
        ("{project}//{code}", "nothing between two slashes"),
        ("{project}/../{code}", "a name begins with"),
        ("{project}/.hidden/{code}", "a name begins with"),
        ("{project}/-x/{code}", "a name begins with"),
        ("{project", "a brace is not closed"),
        ("{project}}", "is no letter, digit"),
        ("{project}/a b/{code}", "is no letter, digit"),
        ("{project}\\{code}", "is no letter, digit"),
        ("{project}/é/{code}", "is no letter, digit"),
        ("{}", "names no field"),
        ("{Shot}", "names no field"),
        ("{sh{ot}", "names no field"),
        ("{version:3}", "digits are written as"),
        ("{version:00}", "digits are written as"),
        ("{version:0x}", "digits are written as"),
        ("{version:012}", "digits are written as"),
        (&"a/".repeat(20), "nothing between"),
        (&["a"; 17].join("/"), "at most 16 names"),
        (&"a".repeat(600), "at most 512 bytes"),
    ] {
        let told = Template::parse(text).unwrap_err();
        assert!(told.contains(reason), "{text:?}: {told}");
    }
    assert_eq!(layout("{project}/{reel}").check().unwrap_err().0, "layout.template");
    assert_eq!(layout("{project:03}").check().unwrap_err().0, "layout.template");
    let own = |name: &str| Layout {
        fields: BTreeMap::from([(name.to_owned(), Kind::Name)]),
        ..layout("{project}/{reel}")
    };
    assert!(own("reel").check().is_ok());
    for taken in ["shot", "code", "Reel", ""] {
        assert_eq!(own(taken).check().unwrap_err().0, "layout.fields", "{taken:?}");
    }
}

#[test]
fn what_is_given_is_held_to_its_field() {
    let layout = Layout::default();
    for (name, value, code) in [
        ("shop", "sh010", "transfer.unknown_field"),
        ("project", "other", "transfer.unknown_field"),
        ("shot", "../..", "transfer.bad_field"),
        ("shot", "a/b", "transfer.bad_field"),
        ("shot", "", "transfer.bad_field"),
        ("shot", "a\0", "transfer.bad_field"),
        ("version", "-1", "transfer.bad_field"),
        ("version", "+1", "transfer.bad_field"),
        ("version", "v1", "transfer.bad_field"),
        ("version", "4294967295", "transfer.bad_field"),
        ("version", "99999999999", "transfer.bad_field"),
    ] {
        use crate::base::error::Fault;
        let error = layout.admit(&metadata(&[(name, value)])).unwrap_err();
        assert_eq!(error.code(), code, "{name}={value}: {error}");
    }
    let number = Metadata::from([("shot".to_owned(), Meta::Number(10))]);
    assert!(layout.admit(&number).unwrap_err().to_string().contains("shot=10"));
}

#[test]
fn paths_that_some_system_cannot_have_are_refused() {
    let layout = layout("{project}/{shot}");
    for (shot, reason) in [
        ("con", "device"),
        ("NUL.exr", "device"),
        ("Com7", "device"),
        ("sh010.", "dot"),
        ("sh010.proof", "beside a delivery"),
        ("sh010.Manifest.JSON", "beside a delivery"),
    ] {
        let told = layout.path("film", "plates", "T-1", &metadata(&[("shot", shot)])).unwrap_err();
        assert!(told.to_string().contains(reason), "{shot}: {told}");
    }
    let long = layout_of_many().path("film", "plates", &"c".repeat(64), &Metadata::new());
    assert!(long.unwrap_err().to_string().contains("longer than"), "too long");
    assert_eq!(above("a/b/c"), ["a", "a/b"]);
    assert_eq!(key("Film/SH010"), "film/sh010");
}

fn layout_of_many() -> Layout {
    layout("{code}{code}{code}/{code}")
}

proptest! {
    #[test]
    fn any_text_is_a_template_or_refused(text in "[a-z{}/:0-9._ -]{0,40}|\\PC{0,20}") {
        if let Ok(template) = Template::parse(&text) {
            prop_assert_eq!(template.to_string(), text);
        }
    }

    #[test]
    fn a_template_is_read_as_it_is_written(
        names in prop::collection::vec(
            prop::collection::vec(
                prop_oneof![
                    "[a-zA-Z0-9][a-zA-Z0-9._-]{0,6}".prop_map(Piece::Text),
                    ("[a-z][a-z0-9_]{0,8}", prop::option::of(1usize..10))
                        .prop_map(|(name, digits)| Piece::Field { name, digits }),
                ],
                1..4,
            ),
            1..6,
        )
    ) {
        // Two texts in a row are one when they are read.
        let mut names = names;
        for name in &mut names {
            name.dedup_by(|two, one| matches!((one, two), (Piece::Text(_), Piece::Text(_))));
        }
        let template = Template(names);
        prop_assert_eq!(Template::parse(&template.to_string()).unwrap(), template);
    }

    /// Whatever is given: a path that stays below its root, or a refusal.
    #[test]
    fn no_value_leads_out_of_production(
        template in "(\\{(project|shot|version:03|code)\\}|[a-z]{1,3})([/_](\\{(shot|task|code)\\}|[a-z.]{1,3})){0,4}",
        values in prop::collection::btree_map("shot|task|version|sequence|path", "\\PC{0,12}|[.]{1,3}|[a-zA-Z0-9._-]{1,70}|[0-9]{1,5}", 0..5),
        project in "[a-zA-Z0-9._-]{1,10}",
    ) {
        let Ok(template) = Template::parse(&template) else { return Ok(()) };
        let layout = Layout { template, ..Layout::default() };
        prop_assert!(layout.check().is_ok());
        let given = values.into_iter().map(|(name, text)| (name, Meta::Text(text))).collect();
        let Ok(admitted) = layout.admit(&given) else { return Ok(()) };
        let Ok(path) = layout.path(&project, "plates", "TRF-00001", &admitted) else {
            return Ok(());
        };
        prop_assert!(path.is_ascii() && path.len() <= LONGEST_PATH);
        for name in path.split('/') {
            prop_assert!(!name.is_empty() && !name.starts_with('.') && !name.ends_with('.'));
            prop_assert!(!name.contains(['\\', '\0', ':']));
        }
    }
}
