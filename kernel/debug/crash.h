/*
 * Crimes on purpose: what the machine must never let the kernel do, tried when boot is over, so that a test sees it stopped.
 */
#pragma once

/*
 * Commit the crime that the parameter linnet.crash=NAME names, if there is one; a working protection makes that a panic. What goes
 * through is told in the log ("crash: NAME went through"). Thread context, after boot.
 */
void crash_on_purpose(void);
