//! Where we may differ from the reference connector, by choice (design.md D12).

/// How numbers of a device are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbers {
    /// As .NET prints a double (device-mapping.md 5.1).
    #[default]
    Reference,
    /// As the device wrote them.
    Exact,
}

/// What text in the shape of a date is, in the body of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dates {
    /// A date: as a value or an id it prints as `MM/dd/yyyy HH:mm:ss`, and
    /// JMESPath takes it for neither text nor number (device-mapping.md 1.3).
    #[default]
    Reference,
    /// Text, as the device wrote it.
    Exact,
}

/// What becomes of data that fails for a reason that an edit of a mapping can
/// mend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It is rejected and recorded as a dead letter; what follows goes on.
    #[default]
    Drop,
    /// Its batch is given again until it no longer fails, and its partition
    /// waits.
    Retry,
}

/// The switches (S, OPTION) of the reference documents, one field each.
///
/// [`Compatibility::default`] is what we run with; [`Compatibility::reference`]
/// sets every switch as the reference connector behaves. Each field is the
/// setting `Compatibility__<Name>`. What is about the FHIR server, and what
/// `Compatibility__KeepLastGoodMapping` says, is not here but with those who do
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compatibility {
    /// `Compatibility__Numbers`.
    pub numbers: Numbers,
    /// `Compatibility__Dates` (device-mapping.md quirks 1 and 56).
    pub dates: Dates,
    /// `Compatibility__MatchedTokenTwice`: a path with `..` in a
    /// CalculatedContent template finds what is in the match twice, in its
    /// place and below `matchedToken`, and so fails (device-mapping.md quirk
    /// 7).
    pub matched_token_twice: bool,
    /// `Compatibility__CoercedComparisonErrors`: an ordering comparison in a
    /// JSONPath filter whose sides cannot be converted fails the event
    /// (device-mapping.md quirk 45); otherwise it is simply false.
    pub coerced_comparison_errors: bool,
    /// `Compatibility__BacktrackingPatterns`: regular expressions may have
    /// look-around and back references (device-mapping.md quirk 49); otherwise
    /// those are errors of the mapping, and all run in linear time.
    pub backtracking_patterns: bool,
    /// `Compatibility__IntegralFloatTimestamps`: `fromUnixTimestamp` takes a
    /// Float without a fraction (device-mapping.md quirk 57).
    pub integral_float_timestamps: bool,
    /// `Compatibility__OnMappingFailure`: what becomes of an event that a
    /// template takes and cannot make a measurement of (device-mapping.md
    /// quirk 61). One that is not JSON is dropped in any case.
    pub on_mapping_failure: OnFailure,
    /// `Compatibility__LenientMeasurements`: measurements on the internal hub
    /// may have comments, single quotes and names without quotes
    /// (fhir-conversion.md 1.4).
    pub lenient_measurements: bool,
    /// `Compatibility__OnUnmappedType`: what becomes of measurements of a type
    /// that the FHIR mapping does not know (fhir-conversion.md 4.6, quirk 21).
    pub on_unmapped_type: OnFailure,
    /// `Compatibility__QuantityExponents`: a number may be written with an
    /// exponent, also in a series (fhir-conversion.md 5.4).
    pub quantity_exponents: bool,
    /// `Compatibility__OverwriteEnteredInError`: a merge sets the status of
    /// `entered-in-error` and `cancelled` Observations to `amended`
    /// (fhir-conversion.md quirk 27); otherwise the reading is rejected.
    pub overwrite_entered_in_error: bool,
    /// `Compatibility__MergeEqualTimes`: of readings at the same instant, the
    /// one ingested last takes the properties it lacks from the others
    /// (fhir-conversion.md quirk 16); otherwise the others vanish whole.
    pub merge_equal_times: bool,
    /// `Compatibility__SkipEmptyObservations`: an Observation without any value
    /// is not written (fhir-conversion.md quirk 49).
    pub skip_empty_observations: bool,
    /// `Compatibility__StoredValuesWin`: readings only fill gaps in stored
    /// Observations, as while an old stretch of a stream is played again
    /// (fhir-conversion.md quirk 56); otherwise the last processed wins.
    pub stored_values_win: bool,
    /// `Compatibility__SubsecondIdentifiers`: the identifier of an Observation
    /// of one instant has seven digits of the second (fhir-conversion.md quirk
    /// 58). Not to be changed while a server holds Observations.
    pub subsecond_identifiers: bool,
    /// When a FHIR template has components, the validator warns that a device
    /// value which its top-level `value` names is nowhere, though it is there
    /// (device-mapping.md quirk 70). Without a setting of its own.
    pub components_hide_value: bool,
}

impl Default for Compatibility {
    fn default() -> Self {
        Compatibility {
            coerced_comparison_errors: false,
            backtracking_patterns: false,
            integral_float_timestamps: true,
            on_mapping_failure: OnFailure::Drop,
            lenient_measurements: false,
            on_unmapped_type: OnFailure::Drop,
            quantity_exponents: true,
            overwrite_entered_in_error: false,
            components_hide_value: false,
            ..Self::reference()
        }
    }
}

impl Compatibility {
    /// Everything as the reference connector does it.
    pub fn reference() -> Compatibility {
        Compatibility {
            numbers: Numbers::Reference,
            dates: Dates::Reference,
            matched_token_twice: true,
            coerced_comparison_errors: true,
            backtracking_patterns: true,
            integral_float_timestamps: false,
            on_mapping_failure: OnFailure::Retry,
            lenient_measurements: true,
            on_unmapped_type: OnFailure::Retry,
            quantity_exponents: false,
            overwrite_entered_in_error: true,
            merge_equal_times: false,
            skip_empty_observations: false,
            stored_values_win: false,
            subsecond_identifiers: false,
            components_hide_value: true,
        }
    }
}
