//! The names of the modes: what programs must write, and what people may.

use crate::mode::Mode;

#[test]
fn programs_write_a_mode_to_the_letter_and_people_as_they_like() {
    for mode in Mode::ALL {
        assert_eq!(Mode::named(mode.name()), Some(mode));
        assert_eq!(serde_json::to_value(mode).unwrap(), mode.name());
        let plain = mode.name().to_lowercase().replace('_', "-");
        assert_eq!(Mode::named(&plain), None, "{plain}");
        assert_eq!(plain.parse::<Mode>().unwrap(), mode, "{plain}");
    }
    let error = "UDP".parse::<Mode>().unwrap_err().to_string();
    assert!(error.contains("UDP_OVER_TCP"), "{error}");
}
