from . import conv as conv
from . import models as models
from . import pool as pool
