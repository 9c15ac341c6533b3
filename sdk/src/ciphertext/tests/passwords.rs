use super::*;

fn judged(text: &str) -> Result<NewPassword, String> {
    let made = Password::new(text.to_owned()).and_then(|password| NewPassword::new(password, &known()));
    made.map_err(|error| error.to_string())
}

#[test]
fn weak_passwords_are_refused_with_the_reason() {
    const NUMBER: &str = "a PIN or a number";
    const AGAIN: &str = "over and over";
    const ROW: &str = "characters in a row";
    const GUESSED: &str = "too easy to guess";
    for (text, expect) in [
        ("", "empty"),
        ("1234", NUMBER),
        ("000000", NUMBER),
        ("1990-12-05", NUMBER),
        ("849302718456", NUMBER),
        ("+49 (151) 2345 67 89", NUMBER),
        ("３１４１５９２６５３５８", NUMBER),
        ("٣١٤١٥٩٢٦٥٣٥٨", NUMBER),
        ("a", "has 1 characters; at least 12 are needed"),
        ("hunter2", "has 7 characters; at least 12 are needed"),
        ("xK9#mQ2$vL7", "has 11 characters; at least 12 are needed"),
        ("aaaaaaaaaaaaaaaa", "the same character over and over"),
        ("zzzz", "the same character over and over"),
        ("abcabcabcabcabc", AGAIN),
        ("xyxyxyxyxyxyxyxyxyx", AGAIN),
        ("abcdefghijklmnop", ROW),
        ("ABCDEFGHIJKLM", ROW),
        ("zyxwvutsrqponm", ROW),
        ("αβγδεζηθικλμ", ROW),
        ("passwordpassword", GUESSED),
        ("Password1234!", GUESSED),
        ("P@ssw0rd2024", GUESSED),
        ("qwertyuiop[]", GUESSED),
        ("qwerty123456", GUESSED),
        ("letmeinletmein", GUESSED),
        ("iloveyou1234", GUESSED),
        ("administrator1", GUESSED),
        ("december2024!", GUESSED),
        ("111111aaaaaa", GUESSED),
        ("my Wallet-1 is a violin otter", "contains the wallet's id"),
        ("otter violin WALLET.example 7#", "contains the relying party's id"),
        ("granite-main-otter-88-lamp", "contains the backup's id"),
        ("violin granite\notter", "control character"),
    ] {
        let error = judged(text).map(|_| ()).unwrap_err();
        assert!(error.starts_with("password: ") && error.contains(expect), "{text:?}: {error}");
        assert!(text.len() < 5 || !error.contains(text), "it is not repeated: {error}");
    }
}

#[test]
fn strong_passwords_are_taken() {
    for text in [
        TEXT,
        "xK9#mQ2$vL7!pR4z",
        "correct horse battery staple gramophone",
        "Zwölf Boxkämpfer jagen Eva quer",
        "いろはにほへと ちりぬるを",
        "8#2!9@4$7%1^x0&",
        "dunkle Möwe, 3 grüne Kähne",
    ] {
        judged(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    let short = Known { wallet: "w1", backup: "b", rp_id: "a.b" };
    NewPassword::new(password("w1 violin granite a.b otter"), &short).unwrap();
}

#[test]
fn a_password_has_one_form_whatever_keyboard_it_is_typed_on() {
    for (one, other) in [
        ("Zw\u{f6}lf Boxk\u{e4}mpfer", "Zwo\u{308}lf Boxka\u{308}mpfer"),
        ("ｖｉｏｌｉｎ", "violin"),
        ("o\u{fb03}ce", "office"),
        ("violin\u{a0}otter", "violin otter"),
    ] {
        assert_eq!(password(one).text(), password(other).text());
    }
    assert_ne!(password("Violin").text(), password("violin").text());
    assert_ne!(password(" violin").text(), password("violin").text());
}

#[test]
fn passwords_end_at_their_limit() {
    assert!(Password::new("x".repeat(PASSWORD_BYTES_MAX)).is_ok());
    // Eighteen letters of one ligature: longer when it is normalised.
    for text in ["x".repeat(PASSWORD_BYTES_MAX + 1), "\u{fdfa}".repeat(PASSWORD_BYTES_MAX / 3)] {
        let error = Password::new(text).unwrap_err().to_string();
        assert_eq!(error, "password: longer than 1024 bytes");
    }
    assert!(Password::new("\0".to_owned()).is_err());
}
