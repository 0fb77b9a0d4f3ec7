//! Receipts: written, verified, and found out when one byte of them is changed.

use crate::place::Place;

fn receipted() -> Place {
    let place = Place::with(
        "\"\"\"Write one file.\"\"\"\n\ndef main():\n    step(\"write\", write_file(\"x\", \"1\"), undo = inverse())\n",
    );
    place.ran(&["run", "book.star"]).ends(0);
    place.ran(&["receipt", "@last", "-o", "r.json"]).ends(0).says("piton verify r.json --key");
    place
}

#[test]
fn a_receipt_is_valid_by_itself_and_by_the_stores_key() {
    let place = receipted();
    let ran = place.ran(&["verify", "r.json"]).ends(0);
    assert!(ran.out.contains("\nvalid: nothing was changed since it was signed"), "{}", ran.out);
    let key = place.home().join("signing.pub");
    let ran = place.ran(&["verify", "r.json", "--key", key.to_str().unwrap()]).ends(0);
    assert!(ran.out.ends_with("\nvalid: signed by the trusted key\n"), "{}", ran.out);
    let printed = place.ran(&["receipt", "@last"]).ends(0).out;
    assert_eq!(printed, place.read("r.json"), "the same journal gives the same receipt");
}

#[test]
fn any_changed_byte_makes_it_invalid() {
    let place = receipted();
    let good = std::fs::read(place.path("r.json")).unwrap();
    let last = good.len() - 2;
    for at in (0..=last).step_by(good.len() / 12).chain([last]) {
        let mut bad = good.clone();
        bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
        std::fs::write(place.path("bad.json"), bad).unwrap();
        let ran = place.ran(&["verify", "bad.json"]).ends(1);
        assert!(ran.out.ends_with("INVALID\n"), "byte {at}: {}", ran.out);
    }
}

#[test]
fn another_stores_key_does_not_fit() {
    let (place, other) = (receipted(), receipted());
    let key = other.home().join("signing.pub");
    let ran = place.ran(&["verify", "r.json", "--key", key.to_str().unwrap()]).ends(1);
    assert!(ran.out.contains("not signed by the trusted key") && ran.out.ends_with("INVALID\n"), "{}", ran.out);
    place.ran(&["verify", "r.json", "--key", "rubbish"]).ends(2).says("error[P0030]");
    place.ran(&["verify", "nothing.json"]).ends(2).says("error[P0005]");
}

#[test]
fn a_page_for_people_is_written_too() {
    let place = receipted();
    let page = place.ran(&["receipt", "@last", "--format", "md"]).ends(0).out;
    assert!(page.contains("Write one file."), "{page}");
    place.ran(&["receipt", "@last", "-o", "missing/r.json"]).ends(2).says("error[P0005]");
}
