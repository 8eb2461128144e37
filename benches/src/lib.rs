//! Corpora for the benchmarks, made by a seeded generator: the same bytes on
//! every machine.

/// Event bodies and the device mapping that fits them.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// Its name.
    pub name: &'static str,
    /// The device mapping.
    pub mapping: String,
    /// One JSON body each.
    pub bodies: Vec<Vec<u8>>,
}

/// The kinds of vital signs: type, member, smallest value, span.
const KINDS: [(&str, &str, u64, u64); 8] = [
    ("heartrate", "heartRate", 50, 80),
    ("respiratoryrate", "respiratoryRate", 10, 15),
    ("spo2", "oxygenSaturation", 90, 10),
    ("temperature", "bodyTemperature", 36, 4),
    ("systolic", "systolicPressure", 100, 60),
    ("diastolic", "diastolicPressure", 60, 40),
    ("glucose", "bloodGlucose", 70, 90),
    ("weight", "bodyWeight", 50, 60),
];

/// Eight kinds of vital signs in bodies of about 400 bytes, and eight templates
/// in the `$..[?(@heartRate)]` style.
pub fn vitals() -> Corpus {
    let templates = KINDS.map(|(kind, member, ..)| {
        format!(
            r#"{{"templateType":"JsonPathContent","template":{{"typeName":"{kind}","typeMatchExpression":"$..[?(@{member})]",
            "deviceIdExpression":"$.deviceId","timestampExpression":"$.endDate","patientIdExpression":"$.patientId",
            "values":[{{"required":"true","valueExpression":"$.{member}","valueName":"{kind}"}}]}}}}"#
        )
    });
    let mapping = format!(r#"{{"templateType":"CollectionContent","template":[{}]}}"#, templates.join(","));
    let mut random = Random(0x107c_0111);
    Corpus { name: "vitals", mapping, bodies: (0..1000).map(|_| vital(&mut random)).collect() }
}

fn vital(random: &mut Random) -> Vec<u8> {
    let (_, member, least, span) = KINDS[random.below(8) as usize];
    let value = least + random.below(span);
    let (device, patient, record) = (random.below(5000), random.below(3000), random.next());
    let (minute, second, milli) = (random.below(60), random.below(60), random.below(1000));
    let (battery, strength, tenth) = (random.below(100), random.below(70), random.below(10));
    format!(
        r#"{{"deviceId":"device-{device:05}","patientId":"patient-{patient:05}","recordId":"{record:016x}","startDate":"2026-11-20T10:{minute:02}:{second:02}.{milli:03}Z","endDate":"2026-11-20T10:{minute:02}:{second:02}.{milli:03}Z","{member}":{value}.{tenth},"device":{{"manufacturer":"Acme Medical","model":"Vital\u0053ign 3000","firmware":"3.14.15","battery":{battery}}},"quality":{{"signal":-{strength},"confidence":0.9{tenth},"flags":[0,1,{tenth}]}},"source":"gateway-7","ok":true}}"#
    )
    .into_bytes()
}

/// A small generator of numbers (splitmix64): the same row for the same seed.
#[derive(Clone, Copy, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
