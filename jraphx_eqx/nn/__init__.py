from . import conv as conv
from . import pool as pool
