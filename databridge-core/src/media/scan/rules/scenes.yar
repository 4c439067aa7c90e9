/*
 * Rules for scene files. Malware is named always; calls that any pipeline may
 * make are findings only where the policy `scene_scripts` asks for them.
 */

rule maya_vaccine_gene
{
    meta:
        description = "a script node of the Maya worm that copies itself into user set-ups"
        severity = "high"
        source = "Autodesk, Security Tools for Maya: PhysXPluginMll and vaccine scripts"
        verdict = "infected"
        name = "Maya.VaccineGene"
    strings:
        $ascii = "//Maya"
        $iff = /^FOR[48]/
        $vaccine = "vaccine_gene"
        $breed = "breed_gene"
        $phage = "leukocyte.antivirus"
        $import = "import vaccine"
    condition:
        ($ascii at 0 or $iff at 0 or extension == "ma" or extension == "mb")
        and (($vaccine and $breed) or $phage or ($import and ($vaccine or $breed)))
}

rule maya_ui_configuration
{
    meta:
        description = "a script node of the Maya worm that hides in the configuration of the interface"
        severity = "high"
        source = "Autodesk, Security Tools for Maya: MayaMelUIConfigurationFile"
    strings:
        $ascii = "//Maya"
        $iff = /^FOR[48]/
        $node = "uifiguration"
        $gene = "_gene"
        $decode = "base64.urlsafe_b64decode"
    condition:
        ($ascii at 0 or $iff at 0) and $node and ($gene or $decode)
}

rule scene_runs_hidden_code
{
    meta:
        description = "a scene with code that is packed, so that nobody reads it, and run"
        severity = "high"
        source = "MITRE ATT&CK T1027, T1059.006"
    strings:
        $run = /\b(exec|eval)\s{0,4}\(/
        $unpack = /(b64decode|b85decode|decompress|loads|unhexlify|fromhex)\s{0,4}\(\s{0,4}b?["'][A-Za-z0-9+\/=_\\]{60}/
    condition:
        (extension == "nk" or extension == "gizmo" or extension == "ma" or extension == "mb"
         or extension == "hip" or extension == "hiplc" or extension == "hipnc" or extension == "hda"
         or extension == "blend" or extension == "usda")
        and $run and $unpack
}

rule maya_script_node
{
    meta:
        description = "a Maya scene with a script node that runs Python or a shell"
        severity = "low"
        source = "Maya, script nodes"
    strings:
        $ascii = "//Maya"
        $node = "createNode script "
        $python = "python(" nocase
        $typed = /setAttr "\.stp" 1/
        $system = /\bsystem\s{0,4}\(/
    condition:
        scene_scripts and $ascii at 0 and $node and ($python or $typed or $system)
}

rule nuke_callback
{
    meta:
        description = "a Nuke script that runs Python when it is loaded, rendered or touched"
        severity = "low"
        source = "Nuke, callbacks: onScriptLoad, onCreate, knobChanged, beforeRender, autolabel"
    strings:
        $knob = /\n\s{0,8}(onScriptLoad|onScriptSave|onScriptClose|onCreate|onDestroy|onUserCreate|knobChanged|updateUI|autolabel|beforeRender|afterRender|beforeFrameRender|afterFrameRender|renderProgress)\s+["{\\]/
        $button = /addUserKnob \{(22|70) /
    condition:
        scene_scripts and (extension == "nk" or extension == "nknc" or extension == "gizmo")
        and ($knob or $button)
}

rule scene_calls_system
{
    meta:
        description = "a scene that starts programs or fetches from the network"
        severity = "medium"
        source = "Python, os, subprocess, socket, urllib"
    strings:
        $system = /\bos\s{0,4}\.\s{0,4}(system|popen|exec[lv]p?e?|spawn[lv]p?e?|remove|unlink|rmdir)\s{0,4}\(/
        $process = /\bsubprocess\s{0,4}\.\s{0,4}(Popen|run|call|check_call|check_output)\s{0,4}\(/
        $network = /\b(urllib2?|requests|socket|http\.client|ftplib)\s{0,4}\.\s{0,4}\w{2,20}\s{0,4}\(/
    condition:
        scene_scripts
        and (extension == "nk" or extension == "nknc" or extension == "gizmo" or extension == "ma"
             or extension == "mb" or extension == "hip" or extension == "hiplc" or extension == "hipnc"
             or extension == "hda" or extension == "blend")
        and any of them
}

rule blender_text_that_registers
{
    meta:
        description = "a Blender file with a text that runs when it is opened"
        severity = "low"
        source = "Blender manual, Auto-Run Python Scripts"
    strings:
        $blend = "BLENDER"
        $module = "import bpy"
        $register = /def\s+register\s{0,4}\(/
    condition:
        scene_scripts and $blend at 0 and $module and $register
}
