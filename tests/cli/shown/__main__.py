"""Write the kept texts anew."""

from tests.cli import shown

for name, columns in shown.PLACES.items():
    shown.kept(name).write_text(shown.text(columns), "utf-8")
