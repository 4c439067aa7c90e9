/*
 * Rules for what is not certainly flat media: documents, archives, scripts and
 * what is of no known kind.
 */

rule macro_document_ooxml
{
    meta:
        description = "an Office document with a VBA project"
        severity = "medium"
        source = "MS-OVBA 2.2, ECMA-376"
    strings:
        $zip = { 50 4B 03 04 }
        $vba = "vbaProject.bin"
    condition:
        $zip at 0 and $vba
}

rule macro_sheet_ooxml
{
    meta:
        description = "a workbook with a sheet of Excel 4.0 macros"
        severity = "high"
        source = "MS-XLSX, macro sheets"
    strings:
        $zip = { 50 4B 03 04 }
        $sheet = "xl/macrosheets/"
    condition:
        $zip at 0 and $sheet
}

rule macro_document_ole
{
    meta:
        description = "an Office document of the older format with a VBA project"
        severity = "medium"
        source = "MS-OVBA 2.2, MS-CFB"
    strings:
        $ole = { D0 CF 11 E0 A1 B1 1A E1 }
        $project = "_VBA_PROJECT" wide
        $modules = "Attribut" fullword
    condition:
        $ole at 0 and ($project or $modules)
}

rule macro_sheet_ole
{
    meta:
        description = "a workbook of the older format with a sheet of Excel 4.0 macros"
        severity = "high"
        source = "MS-XLS 2.4.28 BoundSheet8, dt 1"
    strings:
        $ole = { D0 CF 11 E0 A1 B1 1A E1 }
        // Record 0x85: length, position, visibility, type 1, length and flags of
        // the name.
        $sheet = { 85 00 ?? 00 ?? ?? ?? ?? (00 | 01 | 02) 01 ?? (00 | 01) }
    condition:
        $ole at 0 and $sheet
}

rule rtf_object
{
    meta:
        description = "a rich text document with an object that it updates or runs"
        severity = "high"
        source = "Rich Text Format 1.9.1, objects; CVE-2017-0199, CVE-2017-11882"
    strings:
        $rtf = "{\\rt"
        $object = "\\objdata"
        $update = "\\objupdate"
        $ole = "d0cf11e0" nocase
        $equation = "4571756174696f6e" nocase
    condition:
        $rtf at 0 and $object and ($update or $ole or $equation)
}

rule pdf_that_launches
{
    meta:
        description = "a PDF that starts a program, or a script when it is opened"
        severity = "high"
        source = "ISO 32000-1, 12.6.4.5 and 12.6.4.16"
    strings:
        $pdf = "%PDF-"
        $launch = /\/S\s{0,8}\/Launch/
        $open = "/OpenAction"
        $event = "/AA"
        $script = /\/S\s{0,8}\/JavaScript/
    condition:
        $pdf in (0..1024) and ($launch or (($open or $event) and $script))
}

rule pdf_with_script
{
    meta:
        description = "a PDF with a script"
        severity = "medium"
        source = "ISO 32000-1, 12.6.4.16"
    strings:
        $pdf = "%PDF-"
        $script = /\/S\s{0,8}\/JavaScript/
        $names = /\/JavaScript\s{0,8}[0-9<]/
        $code = /\/JS\s{0,8}[(<0-9]/
    condition:
        $pdf in (0..1024) and ($script or $names) and $code
}

rule pdf_with_attachment
{
    meta:
        description = "a PDF with a file in it"
        severity = "medium"
        source = "ISO 32000-1, 7.11.4"
    strings:
        $pdf = "%PDF-"
        $embedded = /\/Type\s{0,8}\/EmbeddedFile\b/
        $names = /\/EmbeddedFiles\s{0,8}[0-9<]/
    condition:
        $pdf in (0..1024) and ($embedded or $names)
}

rule powershell_hidden
{
    meta:
        description = "a PowerShell command that hides itself or what it runs"
        severity = "high"
        source = "about_PowerShell_exe"
    strings:
        $shell = /powershell(\.exe)?["']?\s+[^\r\n]{0,200}-(e|en|enc|encodedcommand)\s+[A-Za-z0-9+\/=]{40}/ nocase
        $hidden = /powershell(\.exe)?["']?\s+[^\r\n]{0,200}-w(indowstyle)?\s+h(idden)?\s/ nocase
        $download = "DownloadString(" nocase
        $invoke = /\b(iex|invoke-expression)\b/ nocase
    condition:
        $shell or $hidden or ($download and $invoke)
}

rule script_host_downloads
{
    meta:
        description = "a Windows script that fetches something and runs it"
        severity = "high"
        source = "Windows Script Host reference"
    strings:
        $host = /(CreateObject|ActiveXObject)\s{0,8}\(\s{0,8}["']WScript\.Shell["']/ nocase
        $http = /(CreateObject|ActiveXObject)\s{0,8}\(\s{0,8}["'](MSXML2\.(Server)?XMLHTTP|Microsoft\.XMLHTTP|WinHttp\.WinHttpRequest)/ nocase
        $stream = "ADODB.Stream" nocase
    condition:
        $host and ($http or $stream)
}

rule html_application
{
    meta:
        description = "an HTML application"
        severity = "medium"
        source = "HTML applications (mshta)"
    strings:
        $application = "<hta:application" nocase
    condition:
        $application in (0..65536)
}

rule archive_name_turned_round
{
    meta:
        description = "an archive with a name that is shown backwards, so that a program looks like media"
        severity = "high"
        source = "Unicode 15, 23.2: U+202E"
    strings:
        $zip = { 50 4B 03 04 }
        $name = /[\x20-\x7e]{0,200}\xe2\x80\xae[\x20-\x7e]{2,12}\.(exe|scr|com|bat|cmd|pif|js|vbs|lnk)/ nocase
    condition:
        $zip at 0 and $name
}

rule archive_double_extension
{
    meta:
        description = "an archive with a program that bears the name of media before its own"
        severity = "high"
        source = "MITRE ATT&CK T1036.007"
    strings:
        $zip = { 50 4B 03 04 }
        $name = /\.(exr|dpx|tiff?|png|jpe?g|mov|mp4|mxf|wav|pdf|docx?|xlsx?|txt)\s{0,200}\.(exe|scr|com|bat|cmd|pif|js|vbs|vbe|lnk|hta|ps1)(PK|[\x00-\x1f])/ nocase
    condition:
        $zip at 0 and $name
}
