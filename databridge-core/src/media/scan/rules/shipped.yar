/*
 * The rules that DataBridge ships.
 *
 * Externals: `extension` (lower case, no dot), `filename`, `media` (the
 * extension names media). A rule whose meta says `verdict = "infected"` stops a
 * file as malware under the name in `name`; any other asks a person to look.
 * Patterns are written in hexadecimal where their text would make scanners of
 * other people stop at this very file.
 */

rule eicar_test_file
{
    meta:
        verdict = "infected"
        name = "EICAR-Test-File"
    strings:
        $body = { 58 35 4F 21 50 25 40 41 50 5B 34 5C 50 5A 58 35 34 28 50 5E 29 37 43 43 29 37 7D 24 45 49 43 41 52 2D 53 54 41 4E 44 41 52 44 }
    condition:
        $body at 0
}

rule eicar_inside
{
    strings:
        $body = { 58 35 4F 21 50 25 40 41 50 5B 34 5C 50 5A 58 35 34 28 50 5E 29 37 43 43 29 37 7D 24 45 49 43 41 52 2D 53 54 41 4E 44 41 52 44 }
    condition:
        $body and not $body at 0
}

rule elf_dressed_as_media
{
    strings:
        $elf = { 7F 45 4C 46 }
    condition:
        media and $elf at 0
}

rule pe_dressed_as_media
{
    strings:
        $dos = { 4D 5A }
        $stub = "This program cannot be run in DOS mode"
        $pe = { 50 45 00 00 (4C 01 | 64 86 | 64 AA) }
    condition:
        media and $dos at 0 and ($stub in (0..1024) or $pe in (0..4096))
}

rule macho_dressed_as_media
{
    strings:
        $be32 = { FE ED FA CE }
        $be64 = { FE ED FA CF }
        $le32 = { CE FA ED FE }
        $le64 = { CF FA ED FE }
        $fat = { CA FE BA BE 00 00 00 }
    condition:
        media and for any of them : ($ at 0)
}

rule script_dressed_as_media
{
    strings:
        $shebang = /#! ?\/[a-z]/
        $php = "<?php"
        $batch = "@echo off" nocase
        $powershell = "powershell" nocase
    condition:
        media and ($shebang at 0 or $php at 0 or $batch at 0 or $powershell at 0)
}

rule macro_document_ooxml
{
    strings:
        $zip = { 50 4B 03 04 }
        $vba = "vbaProject.bin"
    condition:
        $zip at 0 and $vba
}

rule macro_document_ole
{
    strings:
        $ole = { D0 CF 11 E0 A1 B1 1A E1 }
        $project = "_VBA_PROJECT" wide
        $modules = "Attribut" fullword
    condition:
        $ole at 0 and ($project or $modules)
}

rule pdf_that_launches
{
    strings:
        $pdf = "%PDF-"
        $launch = /\/S\s{0,8}\/Launch/
        $open = "/OpenAction"
        $script = /\/S\s{0,8}\/JavaScript/
    condition:
        $pdf in (0..1024) and ($launch or ($open and $script))
}
