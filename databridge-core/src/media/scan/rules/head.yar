/*
 * Rules for the first 64 KiB of every file: programs and scripts that bear the
 * name of media.
 */

rule elf_dressed_as_media
{
    meta:
        description = "an ELF program bears the name of media"
        severity = "high"
        source = "System V ABI, ELF header"
    strings:
        $elf = { 7F 45 4C 46 }
    condition:
        media and $elf at 0
}

rule pe_dressed_as_media
{
    meta:
        description = "a Windows program bears the name of media"
        severity = "high"
        source = "Microsoft PE format"
    strings:
        $dos = { 4D 5A }
        $stub = "This program cannot be run in DOS mode"
        $pe = { 50 45 00 00 (4C 01 | 64 86 | 64 AA) }
    condition:
        media and $dos at 0 and ($stub in (0..1024) or $pe in (0..4096))
}

rule macho_dressed_as_media
{
    meta:
        description = "a Mach-O program bears the name of media"
        severity = "high"
        source = "Mach-O file format reference"
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
    meta:
        description = "a script bears the name of media"
        severity = "high"
        source = "execve(2), cmd.exe, PowerShell, PHP"
    strings:
        $shebang = /#! ?\/[a-z]/
        $php = "<?php"
        $batch = "@echo off" nocase
        $powershell = "powershell" nocase
    condition:
        media and ($shebang at 0 or $php at 0 or $batch at 0 or $powershell at 0)
}

rule shortcut_dressed_as_media
{
    meta:
        description = "a Windows shortcut bears another name"
        severity = "high"
        source = "MS-SHLLINK 2.1"
    strings:
        $link = { 4C 00 00 00 01 14 02 00 00 00 00 00 C0 00 00 00 00 00 00 46 }
    condition:
        extension != "lnk" and $link at 0
}

rule hypertext_dressed_as_media
{
    meta:
        description = "an HTML application or a page with a script bears the name of media"
        severity = "high"
        source = "HTML applications (mshta), HTML 5"
    strings:
        $application = "<hta:application" nocase
        $html = /^\s{0,64}<(html|script|!doctype html|svg)/ nocase
        $script = "<script" nocase
        $vbscript = "vbscript:" nocase
    condition:
        media and ($application in (0..4096) or ($html at 0 and ($script in (0..16384) or $vbscript in (0..16384))))
}
