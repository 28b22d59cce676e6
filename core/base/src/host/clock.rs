//! What time it is.
#![expect(clippy::disallowed_methods, reason = "this is the clock's home")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since 1970-01-01 UTC; 0 where the clock stands before that.
#[must_use]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

/// A date as `date -u -R` would print it, for the heads of logs: `Fri, 20 Nov 2026 19:56:20 +0000`.
///
/// `seconds` are counted from 1970-01-01 UTC. The calendar is computed here (days to civil date, proleptic
/// Gregorian) so that no process and no time zone data is needed.
#[must_use]
pub fn rfc2822(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years beginning in March, 400 of them make 146,097 days; day 0 is 0000-03-01.
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 2 } else { shifted_month - 10 };
    let year = year_of_era + era * 400 + u64::from(month < 2);
    let index = |n: u64| usize::try_from(n).unwrap_or(0);
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} +0000",
        DAYS[index(days % 7)],
        MONTHS[index(month)],
        rest / 3_600,
        rest / 60 % 60,
        rest % 60,
    )
}

/// The seconds of a date as [`rfc2822`] writes it, in any zone; `None` where it is none.
#[must_use]
pub fn from_rfc2822(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, text) = text.trim().split_once(',')?;
    let mut words = text.split_whitespace();
    let day: i64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let month = i64::try_from(MONTHS.iter().position(|month| *month == name)?).ok()? + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut time = words.next()?.split(':').map(str::parse::<i64>);
    let (hours, minutes, seconds) = (time.next()?.ok()?, time.next()?.ok()?, time.next()?.ok()?);
    let zone: i64 = words.next()?.parse().ok()?;
    let offset = zone / 100 * 3_600 + zone % 100 * 60;
    // Years beginning in March, as above.
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted_year.div_euclid(400), shifted_year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days =
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    u64::try_from(days * 86_400 + hours * 3_600 + minutes * 60 + seconds - offset).ok()
}

#[cfg(test)]
mod tests {
    use super::{from_rfc2822, rfc2822};

    #[test]
    fn dates_are_read_back() {
        for seconds in [0, 951_782_400, 1_709_164_800, 1_795_204_580, 1_798_761_599, 4_102_444_800] {
            assert_eq!(from_rfc2822(&rfc2822(seconds)), Some(seconds));
        }
        assert_eq!(from_rfc2822("Thu, 01 Jan 1970 02:30:00 +0230"), Some(0));
        assert_eq!(from_rfc2822("Thu, 01 Jam 1970 02:30:00 +0230"), None);
        assert_eq!(from_rfc2822("soon"), None);
    }

    #[test]
    fn dates_are_those_of_date_1() {
        assert_eq!(rfc2822(0), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(rfc2822(951_782_400), "Tue, 29 Feb 2000 00:00:00 +0000");
        assert_eq!(rfc2822(1_795_204_580), "Fri, 20 Nov 2026 19:56:20 +0000");
        assert_eq!(rfc2822(1_798_761_599), "Thu, 31 Dec 2026 23:59:59 +0000");
    }
}
