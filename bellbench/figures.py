"""Figures of merit as people call them: their names, units and order, the same wherever they are shown."""

FIGURES = {
    "swap_rate_hz": ("swap rate", "1/s"),
    "visibility_zz": ("visibility |ZZ|", ""),
    "visibility_xx": ("visibility |XX|", ""),
    "visibility_yy": ("visibility |YY|", ""),
    "chsh_s": ("CHSH S", ""),
    "fidelity": ("fidelity", ""),
    "fidelity_lower": ("fidelity, lower bound", ""),
    "fidelity_upper": ("fidelity, upper bound", ""),
    "fidelity_three_bases": ("fidelity, from ZZ, XX, YY", ""),
    "best_fidelity": ("fidelity, best local frame", ""),
    "purity": ("purity", ""),
    "concurrence": ("concurrence", ""),
    "largest_s": ("largest S of the state", ""),
    "qber_z": ("QBER in Z", ""),
    "qber_x": ("QBER in X", ""),
    "key_fraction": ("key per sifted bit", ""),
    "pair_rate_hz": ("pair rate, raw", "1/s"),
    "car": ("CAR", ""),
    "g_si": ("g_SI", ""),
    "fidelity_by_car": ("fidelity, by CAR", ""),
    "accidentals_hz": ("accidentals", "1/s"),
    "heralding_first": ("heralding, first analyser", ""),
    "heralding_second": ("heralding, second analyser", ""),
    "correlation_width_ps": ("correlation width", "ps"),
    "heralds_hz": ("heralds", "1/s"),
    "hom_visibility": ("HOM visibility", ""),
    "hom_dip_visibility": ("HOM visibility, by the dip", ""),
    "hom_dip_tau_ps": ("HOM dip, decay", "ps"),
    "hom_dip_centre_ps": ("HOM dip, centre", "ps"),
    "hom_scan_visibility": ("HOM visibility, by the delay scan", ""),
    "hom_scan_centre_ps": ("HOM delay scan, centre", "ps"),
    "hom_scan_width_ps": ("HOM delay scan, width", "ps"),
    "widest_window_s": ("widest BSM window", "s"),
    "pairs_measured": ("pairs of nodes measured", ""),
    "polarization_probe_fidelity": ("polarization, fidelity of probes", ""),
    "polarization_pair_fidelity": ("polarization, fidelity of pairs", ""),
    "uptime": ("uptime", ""),
    "duty_cycle": ("duty cycle", ""),
}
"""Name and unit of each, in the order in which people look for them."""
BELL_STATES = {"psi_minus": "Ψ⁻", "psi_plus": "Ψ⁺", "phi_minus": "Φ⁻", "phi_plus": "Φ⁺"}
_LEAST = "_least"
"""How a figure ends that is the least of all pairs of nodes."""
_UNITS = {"hz": "1/s", "s": "s", "ps": "ps", "k": "K"}


def label_of(name: str) -> tuple[str, str]:
    """What people call a figure of the results, and its unit: `measure_chsh.pair_rate_hz`, of a step with a
    label, is `measure_chsh: pair rate, raw`, and `fidelity_psi_minus` the fidelity of one Bell state."""
    whose, _, figure = name.rpartition(".")
    label, unit = _label(figure)
    return f"{whose}: {label}" if whose else label, unit


def _label(figure: str) -> tuple[str, str]:
    if figure in FIGURES:
        return FIGURES[figure]
    for state, letters in BELL_STATES.items():
        stem = figure.removesuffix(f"_{state}")
        if stem != figure:
            label, unit = _label(stem)
            return f"{label}, {letters}", unit
    if figure.endswith(_LEAST):
        label, unit = _label(figure.removesuffix(_LEAST))
        return f"{label}, least of all pairs", unit
    stem, _, last = figure.rpartition("_")
    if stem and last in _UNITS:
        return stem.replace("_", " "), _UNITS[last]
    return figure.replace("_", " "), ""


def place_of(name: str) -> tuple[int, int]:
    """Where a figure stands among others, as a key to sort by: those of steps without a label first, each
    group in the order of `FIGURES`, the others after them."""
    whose, _, figure = name.rpartition(".")
    order = list(FIGURES)
    return (whose.count(".") + 1 if whose else 0, order.index(figure) if figure in FIGURES else len(order))
