/*
 * Rules for every file.
 *
 * Externals of all rules: `extension` (lower case, no dot), `filename`, `media`
 * (the extension names media), `scene_scripts` (the policy of that name). A rule
 * whose meta says `verdict = "infected"` stops a file as malware under the name
 * in `name`; any other asks a person to look. `description`, `severity` and
 * `source` are told with a finding. Patterns are written in hexadecimal where
 * their text would make scanners of other people stop at this very file.
 */

rule eicar_test_file
{
    meta:
        description = "the test file that every antivirus must find"
        severity = "high"
        source = "EICAR, anti-malware test file"
        verdict = "infected"
        name = "EICAR-Test-File"
    strings:
        $body = { 58 35 4F 21 50 25 40 41 50 5B 34 5C 50 5A 58 35 34 28 50 5E 29 37 43 43 29 37 7D 24 45 49 43 41 52 2D 53 54 41 4E 44 41 52 44 }
    condition:
        $body at 0
}

rule eicar_inside
{
    meta:
        description = "the antivirus test file stands somewhere inside"
        severity = "medium"
        source = "EICAR, anti-malware test file"
    strings:
        $body = { 58 35 4F 21 50 25 40 41 50 5B 34 5C 50 5A 58 35 34 28 50 5E 29 37 43 43 29 37 7D 24 45 49 43 41 52 2D 53 54 41 4E 44 41 52 44 }
    condition:
        $body and not $body at 0
}
