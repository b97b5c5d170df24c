"""Whom a film shows: the patient that a table names, else the one that the source names."""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

from patient_names import Ids, RoundedNumberError, pseudonym
from preparation.films.film import Film, RejectedFilm
from preparation.pseudonym import Naming


class FilmPatient(NamedTuple):
    """Whom a film shows.

    Attributes:
        identifier: In clear, empty where nobody is named.
        patient_id: In the cache.
        split_key: What draws the split of this spelling.
        by_source: Whom the source names, as the cache would, where a table names somebody.
    """

    identifier: str
    patient_id: str
    split_key: str
    by_source: str | None = None


@dataclass(frozen=True)
class PatientsOfFilms:
    """How the patients of films are named.

    Attributes:
        salt: Mixed into the hashes that name films and patients. Who knows it can find a name by
            trying identifiers, so it is not stored; the same one gives the same names everywhere.
        ids: Which identifiers are one patient, see `identity`.
        phantom_seed: The films are drawn: nobody's, so no table of their names is kept, and those
            of other seeds are other people.
        no_patient: What to pass instead, said when a film names no patient and is refused for it;
            None keeps such films, each as somebody else.
    """

    salt: str
    ids: Ids = "as_numbers"
    phantom_seed: int | None = None
    no_patient: str | None = None

    def of(self, film: Film, listed: str, file_name: str) -> FilmPatient:
        """Whom a film shows.

        Args:
            film: As it was read.
            listed: Whom a table names; empty for nobody.
            file_name: Names a patient of its own where nobody is named.

        Raises:
            RejectedFilm: A program has rounded the identifier, or nobody is named and that is not
                allowed.
        """
        named = Naming(self.salt, self.ids)
        by_source = replace(named, ids="as_written") if film.each_alone else named
        identifier, own, other = listed.strip(), (film.patient or "").strip(), None
        try:
            patient = named.patient_id(listed)
            if patient:
                with suppress(RoundedNumberError):
                    other = by_source.patient_id(own) or None
            else:
                identifier, patient = own, by_source.patient_id(own)
        except RoundedNumberError as error:
            raise RejectedFilm("rounded_patient", str(error)) from None
        if not patient:
            if self.no_patient is not None:
                raise RejectedFilm(
                    "no_patient",
                    "names no patient, so it cannot be kept on one side of the split. "
                    f"{self.no_patient}",
                )
            nobody = pseudonym(f"nobody:{file_name}", self.salt)
            return FilmPatient("", nobody, nobody)
        split_key = pseudonym(identifier, self.salt)
        if self.phantom_seed is not None:
            patient = f"seed{self.phantom_seed}_{split_key.removeprefix('patient_')}"
        return FilmPatient(identifier, patient, split_key, other)
