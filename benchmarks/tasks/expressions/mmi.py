"""MMI: videos from a neutral face over a posed expression and back."""

import csv
from pathlib import Path

from dmsrl_adapt.data import DataError

from .database import PEAK_FRAMES, Database, Face, existing, expression_of, images_in, some

NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
CODES = dict(zip(NAMES, NAMES, strict=True))


def read(folder: Path) -> list[Face]:
    """Returns four frames of every session in `emotions.csv`: the first as neutral, three in the middle as peak."""
    table, faces = existing(folder, "emotions.csv"), []
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    for row in some(rows, table, "lines"):
        if not row.keys() >= {"session", "emotion"}:
            raise DataError(f"{table} must have the columns session and emotion, it has {', '.join(map(str, row))}")
        session = existing(folder, f"Sessions/{row['session']}")
        videos = sorted(path for path in session.glob("S*") if path.is_dir())
        if len(videos) != 1:
            raise DataError(f"{session} must hold one folder of frames, such as S001-001, it holds {len(videos)}")
        frames, expression = images_in(videos[0]), expression_of(row["emotion"], CODES, table)
        if len(frames) <= PEAK_FRAMES:
            raise DataError(f"{videos[0]} must hold more than {PEAK_FRAMES} frames, it holds {len(frames)}")
        first, subject = (len(frames) - PEAK_FRAMES + 1) // 2, videos[0].name.partition("-")[0]
        peak = frames[first : first + PEAK_FRAMES]
        faces += [Face(frames[0], "neutral", subject), *(Face(frame, expression, subject) for frame in peak)]
    return faces


DATABASE = Database(
    name="mmi",
    title="MMI",
    address="https://mmifacedb.eu",
    licence="non-commercial research, by agreement",
    layout="""\
Sessions/1/S001-001.avi     as downloaded; S001 is the person
Sessions/1/S001-001/000001.png, ...     its frames: mkdir S001-001; ffmpeg -i S001-001.avi S001-001/%06d.png
emotions.csv     to be written: columns session,emotion with lines such as "1,anger", one a session to be used,
                 from the owners' search by emotion; take frontal views
anger, disgust, fear, happiness, sadness, surprise; first frame: neutral; middle three: the expression""",
    parts="person-disjoint, 50 : 20 : 30 of the persons",
    read=read,
)
