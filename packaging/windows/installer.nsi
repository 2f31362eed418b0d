; The installer for Windows. ci/windows-installer.sh makes it, with VERSION, EXE, WATCH, LICENSE and GUIDE
; defined.
;
;   setup.exe /S                                  silently
;   setup.exe /S /TAKEOVER                        and take the clock over from Windows Time
;   setup.exe /S /OPTIONS="--interface Ethernet"  with options of the service; without, those from before stay
;   uninstall.exe /S [/PURGE]                     remove it; with /PURGE its state and configuration as well
;
; Ends with 0, or with 2 where a file could not be written or the service could not be installed. Everything that
; concerns the service is done by the program itself (`dantetimesync service`): here are only files and the entries
; that Windows lists.

Unicode true
SetCompressor /SOLID lzma
!include "MUI2.nsh"
!include "FileFunc.nsh"
!include "LogicLib.nsh"
!include "x64.nsh"

!define KEY "Software\Microsoft\Windows\CurrentVersion\Uninstall\dantetimesync"

Name "dantetimesync ${VERSION}"
OutFile "${OUT}"
InstallDir "$PROGRAMFILES64\dantetimesync"
RequestExecutionLevel admin
ManifestSupportedOS Win10
ShowInstDetails show
; A file that cannot be written ends the installation, also a silent one: never old files under a new version.
AllowSkipFiles off
BrandingText " "

VIProductVersion "${VERSION}.0"
VIAddVersionKey "ProductName" "dantetimesync"
VIAddVersionKey "FileDescription" "Installs dantetimesync"
VIAddVersionKey "FileVersion" "${VERSION}"
VIAddVersionKey "ProductVersion" "${VERSION}"
VIAddVersionKey "LegalCopyright" "MIT licence"

!define MUI_ICON "dantetimesync.ico"
!define MUI_UNICON "dantetimesync.ico"
!define MUI_COMPONENTSPAGE_SMALLDESC
!insertmacro MUI_PAGE_LICENSE "${LICENSE}"
!insertmacro MUI_PAGE_COMPONENTS
!insertmacro MUI_PAGE_INSTFILES
!insertmacro MUI_UNPAGE_CONFIRM
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE "English"

Var Options
Var Failed

; Runs the program itself; its exit code is left in $0 and what it said is shown.
!macro Program ARGUMENTS
  nsExec::ExecToLog '"$INSTDIR\dantetimesync.exe" ${ARGUMENTS}'
  Pop $0
!macroend

; Makes place for a new file. A process that has told that it has stopped still holds its file for a moment. Somebody
; may also have the terminal view open, which both programs are for: what runs cannot be replaced, but go on under
; another name, until the next boot. There may be several such, each of an earlier upgrade.
!macro MakeFree FILE
  ${If} ${FileExists} "$INSTDIR\${FILE}"
    ${For} $2 1 30
      ClearErrors
      Delete "$INSTDIR\${FILE}"
      ${IfNot} ${Errors}
        ${ExitFor}
      ${EndIf}
      Sleep 100
    ${Next}
    ${If} ${FileExists} "$INSTDIR\${FILE}"
      GetTempFileName $3 "$INSTDIR"
      Delete $3
      Rename "$INSTDIR\${FILE}" "$3.old"
      Delete /REBOOTOK "$3.old"
    ${EndIf}
    ClearErrors
  ${EndIf}
!macroend

Section "dantetimesync" SectionProgram
  SectionIn RO
  SetOutPath "$INSTDIR"
  ; The program of an earlier version may be running, as the service.
  StrCpy $1 "new"
  ${If} ${FileExists} "$INSTDIR\dantetimesync.exe"
    StrCpy $1 "stopped"
    !insertmacro Program "service status"
    ${If} $0 == 0
      StrCpy $1 "running"
    ${ElseIf} $0 == 2
      ; Not installed: an earlier installation did not get there.
      StrCpy $1 "new"
    ${EndIf}
    !insertmacro Program "service stop"
  ${EndIf}
  Delete "$INSTDIR\*.old"
  !insertmacro MakeFree "dantetimesync.exe"
  !insertmacro MakeFree "dantetimesync-watch.exe"
  File "/oname=dantetimesync.exe" "${EXE}"
  File "/oname=dantetimesync-watch.exe" "${WATCH}"
  File "/oname=LICENSE.txt" "${LICENSE}"
  File "/oname=guide.md" "${GUIDE}"
  WriteUninstaller "$INSTDIR\uninstall.exe"

  WriteRegStr HKLM "${KEY}" "DisplayName" "dantetimesync"
  WriteRegStr HKLM "${KEY}" "DisplayVersion" "${VERSION}"
  WriteRegStr HKLM "${KEY}" "DisplayIcon" "$INSTDIR\dantetimesync.exe"
  WriteRegStr HKLM "${KEY}" "InstallLocation" "$INSTDIR"
  WriteRegStr HKLM "${KEY}" "UninstallString" '"$INSTDIR\uninstall.exe"'
  WriteRegStr HKLM "${KEY}" "QuietUninstallString" '"$INSTDIR\uninstall.exe" /S'
  WriteRegDWORD HKLM "${KEY}" "NoModify" 1
  WriteRegDWORD HKLM "${KEY}" "NoRepair" 1
  ${GetSize} "$INSTDIR" "/S=0K" $2 $3 $4
  IntFmt $2 "0x%08X" $2
  WriteRegDWORD HKLM "${KEY}" "EstimatedSize" "$2"

  SetShellVarContext all
  CreateDirectory "$SMPROGRAMS\dantetimesync"
  CreateShortcut "$SMPROGRAMS\dantetimesync\Console.lnk" "$SYSDIR\cmd.exe" \
    '/k cd /d "$INSTDIR" && dantetimesync service status' "$INSTDIR\dantetimesync.exe"
  CreateShortcut "$SMPROGRAMS\dantetimesync\Uninstall.lnk" "$INSTDIR\uninstall.exe"

  !insertmacro Program "service install $Options"
  ${If} $0 != 0
    StrCpy $Failed "yes"
  ${EndIf}
SectionEnd

Section /o "Take the clock over from Windows Time" SectionTakeover
  !insertmacro Program "service takeover"
  StrCpy $1 "new"
SectionEnd

Section "-start"
  ; After an upgrade it runs or not, as before; a first installation starts it where nothing is in the way. A start that
  ; is refused is no failed installation: `service status` and the event log tell why.
  ${If} $Failed == ""
  ${AndIf} $1 != "stopped"
    !insertmacro Program "service start"
  ${EndIf}
SectionEnd

Section "-outcome"
  ${If} $Failed != ""
    SetErrorLevel 2
    MessageBox MB_ICONSTOP "The service could not be installed. The details show what was said." /SD IDOK
    Abort "The service could not be installed."
  ${EndIf}
SectionEnd

; A file could not be written. What ran before goes on, if its program is still there.
Function .onInstFailed
  ${If} $1 == "running"
    !insertmacro Program "service start"
  ${EndIf}
FunctionEnd

LangString ABOUT_PROGRAM ${LANG_ENGLISH} "The program, as a service that is started at every boot."
LangString ABOUT_TAKEOVER ${LANG_ENGLISH} \
  "Only one program can steer the clock. Windows Time is stopped and disabled; uninstalling gives the clock back to it."
!insertmacro MUI_FUNCTION_DESCRIPTION_BEGIN
  !insertmacro MUI_DESCRIPTION_TEXT ${SectionProgram} $(ABOUT_PROGRAM)
  !insertmacro MUI_DESCRIPTION_TEXT ${SectionTakeover} $(ABOUT_TAKEOVER)
!insertmacro MUI_FUNCTION_DESCRIPTION_END

Function .onInit
  ${IfNot} ${RunningX64}
    MessageBox MB_ICONSTOP "dantetimesync needs a 64-bit Windows." /SD IDOK
    SetErrorLevel 2
    Quit
  ${EndIf}
  SetRegView 64
  ; An upgrade goes where the program is.
  ReadRegStr $0 HKLM "${KEY}" "InstallLocation"
  ${If} $0 != ""
    StrCpy $INSTDIR $0
  ${EndIf}
  ${GetParameters} $R0
  ${GetOptions} $R0 "/OPTIONS=" $Options
  ClearErrors
  ${GetOptions} $R0 "/TAKEOVER" $R1
  ${IfNot} ${Errors}
    !insertmacro SelectSection ${SectionTakeover}
  ${EndIf}
  ClearErrors
FunctionEnd

Function un.onInit
  SetRegView 64
FunctionEnd

Section "Uninstall"
  StrCpy $1 ""
  ${GetParameters} $R0
  ClearErrors
  ${GetOptions} $R0 "/PURGE" $R1
  ${IfNot} ${Errors}
    StrCpy $1 "--purge"
  ${EndIf}
  !insertmacro Program "service uninstall $1"
  ${If} $0 != 0
    SetErrorLevel 2
    MessageBox MB_ICONSTOP "The service could not be removed; the details show what was said." /SD IDOK
    Abort "The service could not be removed."
  ${EndIf}
  ${For} $2 1 100
    ClearErrors
    Delete "$INSTDIR\dantetimesync.exe"
    ${IfNot} ${Errors}
      ${ExitFor}
    ${EndIf}
    Sleep 100
  ${Next}
  Delete "$INSTDIR\dantetimesync-watch.exe"
  Delete /REBOOTOK "$INSTDIR\*.old"
  Delete "$INSTDIR\LICENSE.txt"
  Delete "$INSTDIR\guide.md"
  Delete "$INSTDIR\uninstall.exe"
  RMDir /REBOOTOK "$INSTDIR"
  SetShellVarContext all
  Delete "$SMPROGRAMS\dantetimesync\Console.lnk"
  Delete "$SMPROGRAMS\dantetimesync\Uninstall.lnk"
  RMDir "$SMPROGRAMS\dantetimesync"
  DeleteRegKey HKLM "${KEY}"
SectionEnd
