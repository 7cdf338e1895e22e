// Package schedule reads the schedules of a policy, cron and time zone, and says
// which of their windows are open at a time and which will open next. It is the
// one place that knows time zones, whose data it brings along, so that decisions
// and their replay need none. It reads no clock, decides no count, and knows no
// object of the API besides the schedule itself.
//
// Cron is what a CronJob understands: five fields, names of months and days,
// lists, ranges and steps, read in the schedule's time zone. Where clocks are set
// forward, a window whose time does not exist that day opens at the moment of the
// change; a CronJob would leave it out. Where they are set back, a window whose
// time comes twice opens at the first; a CronJob would run twice. A schedule
// whose hour is * opens in every hour that passes, also in the one that comes
// twice. A window's duration is time that passes, whatever the clocks show.
package schedule
