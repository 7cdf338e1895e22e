// Package recurrence reads stretches of time that come again, cron and time zone,
// and says which of their openings are open at a time and which comes next. It is
// the one place that knows time zones, whose data it brings along, so that
// decisions and their replay need none. It reads no clock, decides nothing, and
// knows no object of the API besides the stretch itself.
//
// Cron is what a CronJob understands: five fields, names of months and days,
// lists, ranges and steps, read in the stretch's time zone. Where clocks are set
// forward, an opening whose time does not exist that day is at the moment of the
// change; a CronJob would leave it out. Where they are set back, one whose time
// comes twice is at the first; a CronJob would run twice. A cron whose hour is *
// opens in every hour that passes, also in the one that comes twice. A duration
// is time that passes, whatever the clocks show.
package recurrence
