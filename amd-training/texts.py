"""What the voices say: sentences of our own, by language and by role.

A template may name slots: {name} a given name, {last} a family name, {co} a company, {num} digits read one by one, {hour} an hour.
`render` fills the slots from a seeded generator. Every fourth template of a role is reserved for the hold-out, so that the
hold-out contains no sentence frame that training has seen (`templates`).

Roles:
  hello      a person who lifts the receiver               named     ... and says a name
  business   a person at work                              talk      a person who talks on
  wait       what a person says when nobody answers        vm        parts of a personal voicemail greeting: open, middle, close
  short      a voicemail greeting of one breath            carrier   a network's voicemail
  full       a mailbox that takes no message               screen    a call assistant
  ivr        a menu: welcome, options                      intercept an intercept recording

`KINDS` groups the roles by what their words say in any language: the net of `net.py` learns to hear these.
"""

from wordings import MORE, rows

NAMES = {
    "en": "Grace Henry Priya Marcus Ellen Tony Rachel Dwight Fiona Leon Abigail Stuart".split(),
    "es": "Lucía Álvaro Carmen Joaquín Beatriz Rubén Inés Mateo".split(),
    "fr": "Camille Antoine Hélène Baptiste Nadia Thierry Solène Yves".split(),
    "de": "Katrin Jürgen Annika Stefan Ulrike Matthias Heike Torsten".split(),
    "it": "Chiara Lorenzo Federica Davide Silvana Pietro Elena Bruno".split(),
    "pt": "Mariana Tiago Joana Rui Beatriz Nuno Helena Vasco".split(),
    "nl": "Marieke Joost Femke Bas Annelies Wouter Saskia Ruben".split(),
    "da": "Mette Søren Kirsten Anders Louise Henrik Bodil Mikkel".split(),
    "cs": "Jana Petr Lenka Tomáš".split(),
    "fi": "Aino Mikko Sanna Pekka".split(),
    "ca": "Montse Jordi Núria Pau".split(),
    "pl": "Anna Marek Zofia Tomasz".split(),
    "sv": "Ingrid Lars Karin Johan".split(),
}
LASTS = {
    "en": "Barlow Whitman Okafor Pemberton Sandoval Hughes".split(),
    "es": "Villanueva Ortega Robles Cifuentes".split(),
    "fr": "Lemaire Fontaine Chevalier Rousseau".split(),
    "de": "Brandt Hoffmann Krüger Seidel".split(),
    "it": "Galli Marchetti Bassi Conti".split(),
    "pt": "Carvalho Teixeira Moreira Lopes".split(),
    "nl": "De Boer,Van Dijk,Smit,Kuipers".split(","),
    "da": "Nørgaard Kjær Holm Lund".split(),
    "cs": "Novák Dvořák".split(), "fi": "Virtanen Koskinen".split(), "ca": "Puig Ferrer".split(),
    "pl": "Nowak Zieliński".split(), "sv": "Lindqvist Berg".split(),
}
COMPANIES = {
    "en": ["Northgate Dental", "Rivera and Sons", "Blue Heron Books", "Castle Plumbing", "the Ashford Clinic", "Quickline Couriers",
           "Maple Street Bakery", "Acme Limited", "Summit Insurance", "Pine Valley Vets"],
    "es": ["Talleres Ibáñez", "Clínica San Telmo", "Transportes del Norte", "Óptica Central", "Gestoría Luna"],
    "fr": ["Garage Morin", "Cabinet Leroy", "Boulangerie du Marché", "Assurances Delmas", "Clinique des Tilleuls"],
    "de": ["Autohaus Becker", "Praxis Doktor Lang", "Gärtnerei Sommer", "Elektro Vogt", "Buchhandlung am Dom"],
    "it": ["Officina Rinaldi", "Studio Ferri", "Panificio Moderno", "Assicurazioni Alba", "Ambulatorio San Marco"],
    "pt": ["Oficina Pereira", "Clínica Boa Vista", "Padaria Central", "Seguros Atlas", "Livraria do Largo"],
    "nl": ["Garage Hendriks", "Tandarts Verhoef", "Bakkerij De Molen", "Loodgieter Jansen", "Boekhandel Noord"],
    "da": ["Bageriet Solsikken", "Tandlæge Bruun", "Autoværkstedet Vest", "Forsikring Nord"],
    "cs": ["Autoservis Říha", "Lékárna U Mostu"], "fi": ["Autokorjaamo Mäki", "Kirjakauppa Pohjola"],
    "ca": ["Tallers Roca", "Farmàcia Sol"], "pl": ["Serwis Kowal", "Apteka Zdrowie"], "sv": ["Bilverkstan Norr", "Bageri Ekman"],
}
DIGITS = {
    "en": "zero one two three four five six seven eight nine".split(),
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve".split(),
    "fr": "zéro un deux trois quatre cinq six sept huit neuf".split(),
    "de": "null eins zwei drei vier fünf sechs sieben acht neun".split(),
    "it": "zero uno due tre quattro cinque sei sette otto nove".split(),
    "pt": "zero um dois três quatro cinco seis sete oito nove".split(),
    "nl": "nul een twee drie vier vijf zes zeven acht negen".split(),
    "da": "nul en to tre fire fem seks syv otte ni".split(),
    "cs": "nula jedna dva tři čtyři pět šest sedm osm devět".split(),
    "fi": "nolla yksi kaksi kolme neljä viisi kuusi seitsemän kahdeksan yhdeksän".split(),
    "ca": "zero un dos tres quatre cinc sis set vuit nou".split(),
    "pl": "zero jeden dwa trzy cztery pięć sześć siedem osiem dziewięć".split(),
    "sv": "noll ett två tre fyra fem sex sju åtta nio".split(),
}
HOURS = {
    "en": "eight nine ten".split(), "es": "ocho nueve diez".split(), "fr": "huit neuf dix".split(), "de": "acht neun zehn".split(),
    "it": "otto nove dieci".split(), "pt": "oito nove dez".split(), "nl": "acht negen tien".split(), "da": "otte ni ti".split(),
    "cs": ["osm"], "fi": ["kahdeksan"], "ca": ["nou"], "pl": ["ósma"], "sv": ["åtta"],
}

T = {}
T["en"] = {
    "hello": ["Hello?", "Hello.", "Hi.", "Yeah?", "Hello, hello?", "Yes, hello?", "Hi there.", "Morning.", "Yeah, hi.", "Hallo?",
              "Hello, who's calling?", "Good afternoon.", "Mm-hm?", "Yes.", "Hi, hello?", "Speaking.", "Evening.", "Hiya."],
    "named": ["{name}.", "{name} speaking.", "Hello, {name} here.", "Hi, it's {name}.", "{name} {last}.", "Yes, this is {name}.",
              "Good morning, {name} {last}.", "{last} residence.", "{last}, hello.", "Hello, {name} {last} speaking."],
    "business": ["{co}, {name} speaking, how can I help?", "Good morning, {co}, how may I direct your call?", "{co}, good afternoon.",
                 "Thanks for calling {co}, my name is {name}, what can I do for you?", "{co}, this is {name}.",
                 "Hello, {co}, {name} here, how can I help you today?", "Front desk, {name} speaking.", "{co}, hello?",
                 "Sales department, {name} {last}, good morning.", "Good evening, {co}, would you like to make an appointment?",
                 "Customer care, you are talking to {name}, may I have your account number?", "{co}, can you hold for a second?"],
    "talk": ["Hi, sorry about that, I was in the shower, hang on while I turn the radio down.",
             "Yeah, hi, I can't really hear you, the line is terrible, are you still there?",
             "Hello? Oh, I thought it was my sister, she said she'd ring at about {hour}, so who is this?",
             "One second please, let me just close the door, okay, go ahead.",
             "Hello, if this is about the car, it's already sold, sorry.",
             "Hey, I'm driving, you're on the speaker, go on, what's up?",
             "Listen, I'm in the middle of something, could you make this quick please?"],
    "wait": ["Hello?", "Hello? Anyone there?", "Hello, is somebody there?", "Who is this?", "Hello? Hello?", "Can you hear me?", "Hi?"],
    "vm_open": ["Hi, this is {name}.", "You have reached {name} {last}.", "Hey, it's {name}.", "Hello, this is {name} {last} at {co}.",
                "You've called the {last} family.", "Hi, you're through to the voicemail of {name}.", "This is {co}.",
                "Thanks for phoning {co}.", "You have reached {num}.", "Hello, you have called {co}, and our office is closed."],
    "vm_mid": ["I can't come to the phone right now.", "I'm either on another call or away from my desk.", "We're not at home at the moment.",
               "Sorry I missed you.", "I'm travelling this week and will be slow to answer.", "All our staff are busy helping others.",
               "Our opening hours are from {hour} to five, Monday to Friday.", "I'm in a meeting until {hour}.",
               "If this is urgent, please call my mobile, {num}."],
    "vm_close": ["Please leave your name and number after the tone.", "Leave me a message and I'll call you back.",
                 "Leave your details and we will get back to you as soon as possible.", "You know what to do.",
                 "Please record your message, and hang up when you are done.", "Talk to you soon.", "Say something nice after the signal.",
                 "Leave a short message and I'll return your call as soon as I can. Thank you, and have a lovely day."],
    "short": ["It's {name}, leave a message.", "Leave a message.", "{name}. Not here. Message please.", "Can't talk, text me.",
              "Hi, {name}, you missed me.", "This is {name}'s voicemail.", "Not available.", "You've got my voicemail."],
    "carrier": ["The person you are trying to reach is not available.", "Your call has been forwarded to an automatic voice message system.",
                "{num} is not available.", "At the signal, please record your message.", "When you have finished, you may hang up, or press one for more options.",
                "Welcome to the messaging service of {num}.", "The customer you have dialled cannot take your call just now.",
                "To send a numeric page, press five."],
    "full": ["The mailbox belonging to {num} is full.", "This subscriber's inbox cannot accept messages at this time. Goodbye.",
             "The voice mailbox has not been set up yet. Please try again later."],
    "screen": ["Hi, the person you're calling is using a screening service.", "Please say your name and why you're calling.",
               "Go ahead and tell me who is there, and I'll see if they're free.", "Before I connect you, may I ask who is calling?",
               "This call is being answered by an assistant, and a transcript is shown to the owner.", "What is this call about?",
               "State your name after the tone, and stay on the line."],
    "ivr_open": ["Thank you for calling {co}.", "Welcome to {co}.", "Hello and welcome to the {co} help line.", "You've reached the main line of {co}.",
                 "Your call may be monitored for quality and training purposes.", "Please listen carefully, as our options have changed."],
    "ivr_opt": ["For sales, press one.", "For billing questions, press two.", "To speak with an operator, press zero.",
                "For opening times, press three.", "If you know your party's extension, dial it now.", "To hear this again, press star.",
                "All of our agents are currently assisting other customers.", "Please hold, and your call will be answered in the order received.",
                "You are number four in the queue.", "Please enter your account number, followed by the hash key."],
    "intercept": ["The number you have dialled has been disconnected or is no longer in service.", "Your call cannot be completed as dialled.",
                  "Please check the number and dial again.", "All circuits are busy now. Please try your call later.",
                  "The number you have reached has been changed."],
}
T["es"] = {
    "hello": ["¿Diga?", "¿Sí?", "¿Aló?", "Dígame.", "Hola.", "¿Bueno?", "Sí, dígame.", "Hola, ¿quién habla?", "Buenas.", "¿Sí, diga?"],
    "named": ["Habla {name}.", "Soy {name}, dime.", "{name} {last}.", "Sí, soy {name}.", "{name}, buenos días.", "Familia {last}, diga."],
    "business": ["{co}, le atiende {name}, ¿en qué puedo ayudarle?", "{co}, buenos días.", "Gracias por llamar a {co}, soy {name}, ¿qué desea?",
                 "Recepción, buenas tardes, ¿con quién quiere hablar?", "{co}, dígame."],
    "talk": ["Espera un momento, que estoy en la calle y no te oigo bien, a ver, dime.", "Sí, hola, perdona, es que estaba cocinando, ¿quién eres?",
             "Hola, mira, ahora mismo no puedo hablar, estoy trabajando, ¿es urgente?"],
    "wait": ["¿Hola?", "¿Hay alguien?", "¿Oiga?", "¿Quién es?", "¿Me oye?"],
    "vm_open": ["Hola, soy {name}.", "Has llamado a {name} {last}.", "Este es el contestador de {co}.", "Ha llamado al {num}.", "Hola, este es el buzón de {name}."],
    "vm_mid": ["Ahora no puedo atenderte.", "En este momento estamos ocupados.", "Estoy fuera de la oficina hasta el lunes.",
               "Nuestro horario es de {hour} a seis.", "No estamos en casa."],
    "vm_close": ["Deja tu mensaje después de la señal.", "Por favor, deje su nombre y su teléfono y le llamaremos.", "Déjame un recado y te llamo luego. Gracias.",
                 "Hable después de oír la señal."],
    "short": ["Soy {name}, deja un mensaje.", "No estoy, escríbeme.", "Deja tu mensaje.", "Contestador de {name}."],
    "carrier": ["El abonado al que llama no está disponible.", "Su llamada ha sido transferida a un buzón de voz.", "Grabe su mensaje después del tono.",
                "Al terminar, cuelgue o pulse la almohadilla."],
    "full": ["El buzón del {num} está lleno.", "Este cliente todavía no ha activado su buzón."],
    "screen": ["Hola, la persona a la que llama usa un asistente para filtrar las llamadas.", "Diga su nombre y el motivo de su llamada, por favor.",
               "Antes de pasar la llamada, ¿quién le digo que llama?"],
    "ivr_open": ["Bienvenido a {co}.", "Gracias por llamar a {co}.", "Esta llamada puede ser grabada."],
    "ivr_opt": ["Para ventas, pulse uno.", "Para facturación, marque dos.", "Para hablar con un agente, pulse cero.", "Todos nuestros agentes están ocupados, espere por favor.",
                "Introduzca su número de cliente seguido de almohadilla."],
    "intercept": ["El número marcado no existe.", "El número que usted ha marcado ya no está en servicio.", "Compruebe el número y vuelva a llamar."],
}
T["fr"] = {
    "hello": ["Allô ?", "Oui ?", "Oui allô ?", "Bonjour.", "Allô, oui ?", "Allô, j'écoute.", "Oui bonjour.", "Allô, c'est qui ?", "Salut."],
    "named": ["{name} à l'appareil.", "{name} {last}, bonjour.", "Oui, c'est {name}.", "Allô, ici {name}.", "{last}, j'écoute."],
    "business": ["{co}, {name}, bonjour, que puis-je faire pour vous ?", "{co}, bonjour.", "Bonjour, {co}, à votre service.",
                 "Accueil de {co}, {name} à l'appareil, je vous écoute.", "Secrétariat, bonjour, ne quittez pas."],
    "talk": ["Oui, attendez, je sors de la pièce, il y a du bruit ici, voilà, je vous écoute.", "Allô, oui, je suis au volant, je vous mets sur le haut-parleur.",
             "Oui bonjour, si c'est pour le colis, je suis là jusqu'à {hour} heures."],
    "wait": ["Allô ?", "Allô, vous m'entendez ?", "Il y a quelqu'un ?", "C'est de la part de qui ?"],
    "vm_open": ["Bonjour, c'est {name}.", "Vous êtes bien chez {name} {last}.", "Bonjour, vous êtes sur le répondeur de {co}.", "Vous avez joint le {num}."],
    "vm_mid": ["Je ne peux pas vous répondre pour l'instant.", "Nous sommes absents pour le moment.", "Nos bureaux sont ouverts de {hour} heures à dix-sept heures.",
               "Je suis en réunion toute la matinée."],
    "vm_close": ["Laissez-moi un message après le bip.", "Merci de laisser vos coordonnées, nous vous rappellerons.", "À bientôt.", "Parlez après le signal sonore."],
    "short": ["C'est {name}, laissez un message.", "Pas là, à plus tard.", "Messagerie de {name}.", "Laissez-moi un mot."],
    "carrier": ["Votre correspondant n'est pas joignable.", "Vous êtes en communication avec la messagerie du {num}.", "Veuillez laisser votre message après le signal.",
                "Pour le modifier, tapez dièse."],
    "full": ["La messagerie de votre correspondant est pleine.", "Cette boîte vocale n'est pas encore activée."],
    "screen": ["Bonjour, votre appel est filtré par un assistant.", "Dites votre nom et la raison de votre appel.", "Qui dois-je annoncer, s'il vous plaît ?"],
    "ivr_open": ["Bienvenue chez {co}.", "Merci d'avoir appelé {co}.", "Cet appel est susceptible d'être enregistré."],
    "ivr_opt": ["Pour le service commercial, tapez un.", "Pour une facture, tapez deux.", "Pour parler à un conseiller, tapez zéro.", "Tous nos conseillers sont en ligne, veuillez patienter.",
                "Saisissez votre numéro de client puis la touche dièse."],
    "intercept": ["Le numéro que vous avez composé n'est pas attribué.", "Veuillez vérifier le numéro et renouveler votre appel.", "Ce numéro n'est plus en service."],
}
T["de"] = {
    "hello": ["Hallo?", "Ja?", "Ja, hallo?", "Ja bitte?", "Guten Tag.", "Hallo, wer ist da?", "Bitte?", "Moin."],
    "named": ["{last}.", "{name} {last}.", "{last}, guten Tag.", "Hier ist {name}.", "Ja, {last}, hallo?", "{name} {last}, ja bitte?"],
    "business": ["{co}, mein Name ist {name} {last}, was kann ich für Sie tun?", "{co}, guten Tag.", "{co}, {last}, guten Morgen.",
                 "Zentrale, {last} am Apparat, mit wem darf ich Sie verbinden?", "Guten Tag, hier ist {co}, worum geht es denn?"],
    "talk": ["Ja, Moment mal, ich gehe kurz raus, hier ist es so laut, so, jetzt höre ich Sie.", "Hallo, ich sitze gerade im Zug, die Verbindung ist schlecht, hören Sie mich?",
             "Ja, grüß dich, ich wollte dich eigentlich auch schon anrufen."],
    "wait": ["Hallo?", "Ist da jemand?", "Hallo, wer spricht denn da?", "Hören Sie mich?"],
    "vm_open": ["Hallo, hier ist {name}.", "Sie haben den Anschluss von {name} {last} erreicht.", "Guten Tag, hier ist der Anrufbeantworter von {co}.", "Sie haben die Nummer {num} gewählt."],
    "vm_mid": ["Ich bin gerade nicht erreichbar.", "Wir sind im Moment nicht zu Hause.", "Unsere Sprechzeiten sind von {hour} bis zwölf Uhr.", "Leider rufen Sie außerhalb der Öffnungszeiten an."],
    "vm_close": ["Bitte sprechen Sie nach dem Ton.", "Hinterlassen Sie Ihren Namen und Ihre Rufnummer, wir rufen zurück.", "Ich melde mich dann. Tschüss.", "Vielen Dank und auf Wiederhören."],
    "short": ["{name} hier, bitte nach dem Piep.", "Bin nicht da.", "Mailbox von {name}.", "Sprich mir was drauf."],
    "carrier": ["Der gewünschte Gesprächspartner ist zurzeit nicht erreichbar.", "Dies ist die Mailbox von {num}.", "Bitte hinterlassen Sie eine Nachricht nach dem Signalton.",
                "Sie können nach der Aufnahme einfach auflegen."],
    "full": ["Die Mailbox des Teilnehmers ist voll.", "Für diesen Anschluss ist keine Mailbox eingerichtet."],
    "screen": ["Guten Tag, dieser Anruf wird von einem Assistenten angenommen.", "Nennen Sie bitte Ihren Namen und den Grund Ihres Anrufs.", "Wen darf ich melden?"],
    "ivr_open": ["Willkommen bei {co}.", "Vielen Dank für Ihren Anruf bei {co}.", "Zur Qualitätssicherung kann das Gespräch aufgezeichnet werden."],
    "ivr_opt": ["Für den Verkauf drücken Sie die Eins.", "Bei Fragen zur Rechnung wählen Sie die Zwei.", "Alle Mitarbeiter sind im Gespräch, bitte bleiben Sie dran.",
                "Geben Sie Ihre Kundennummer ein, und schließen Sie mit Raute ab.", "Der nächste freie Platz ist für Sie reserviert."],
    "intercept": ["Diese Rufnummer ist nicht vergeben.", "Die gewählte Nummer ist uns nicht bekannt.", "Bitte rufen Sie die Auskunft an."],
}
T["it"] = {
    "hello": ["Pronto?", "Pronto.", "Sì?", "Sì, pronto?", "Pronto, chi è?", "Buongiorno.", "Chi parla?", "Ciao."],
    "named": ["Pronto, parla {name}.", "Sono {name}, dimmi.", "Casa {last}.", "{name} {last}, buongiorno.", "Sì, sono {name}."],
    "business": ["{co}, buongiorno, sono {name}, come posso aiutarla?", "{co}, buonasera.", "Buongiorno, {co}, con chi desidera parlare?",
                 "Segreteria, sono {name}, mi dica.", "{co}, un attimo solo che la ascolto."],
    "talk": ["Pronto, scusa, ero in giardino e non sentivo il telefono, chi è?", "Aspetti un momento, abbasso la televisione, ecco, mi dica pure.",
             "Sì, ciao, senti, sono in macchina e la linea va e viene."],
    "wait": ["Pronto?", "Pronto, c'è qualcuno?", "Ma chi è?", "Mi sente?"],
    "vm_open": ["Ciao, sono {name}.", "Questa è la casella vocale di {name} {last}.", "Avete chiamato {co}.", "Risponde il numero {num}."],
    "vm_mid": ["In questo momento non posso rispondere.", "Non siamo in casa.", "I nostri uffici aprono alle {hour}.", "Sono fuori fino a lunedì."],
    "vm_close": ["Lasciate un messaggio dopo il segnale acustico.", "Lasciami il tuo numero e ti richiamo.", "Grazie e a presto.", "Vi richiameremo appena possibile."],
    "short": ["Sono {name}, lascia un messaggio.", "Non ci sono, richiama.", "Segreteria di {name}.", "Lasciate un messaggio."],
    "carrier": ["L'utente chiamato non è al momento raggiungibile.", "Questa è la segreteria telefonica del numero {num}.", "Si prega di lasciare un messaggio dopo il segnale."],
    "full": ["La casella del cliente è piena.", "Il cliente non ha attivato la segreteria."],
    "screen": ["Salve, la chiamata è filtrata da un assistente.", "Dica il suo nome e il motivo della chiamata.", "Chi devo annunciare?"],
    "ivr_open": ["Benvenuti in {co}.", "Grazie per aver chiamato {co}.", "La chiamata potrebbe essere registrata."],
    "ivr_opt": ["Per gli ordini digitare uno.", "Per l'amministrazione premere due.", "Per parlare con un operatore premere zero.", "Tutti gli operatori sono occupati, attendere in linea.",
                "Digitare il codice cliente seguito dal cancelletto."],
    "intercept": ["Il numero selezionato è inesistente.", "Attenzione, il numero chiamato non è attivo.", "Verificare il numero e richiamare."],
}
T["pt"] = {
    "hello": ["Estou?", "Alô?", "Sim?", "Está lá?", "Olá.", "Quem fala?", "Bom dia.", "Oi."],
    "named": ["Fala {name}.", "{name} {last}, bom dia.", "Sim, é {name}.", "Daqui {name}."],
    "business": ["{co}, fala {name}, em que posso ajudar?", "{co}, boa tarde.", "Obrigado por ligar para {co}, com quem deseja falar?", "Receção, bom dia, só um momento."],
    "talk": ["Espera aí, deixa-me sair da sala, agora sim, diz lá.", "Olá, estou a conduzir, podes falar que estou em alta voz.", "Sim, boa tarde, se é por causa do anúncio, já está vendido."],
    "wait": ["Alô?", "Está alguém aí?", "Está a ouvir-me?", "Quem é?"],
    "vm_open": ["Olá, aqui é {name}.", "Ligou para {name} {last}.", "Este é o atendedor de {co}.", "Ligou para o número {num}."],
    "vm_mid": ["Neste momento não posso atender.", "Estamos fora do escritório.", "O nosso horário é das {hour} às dezoito horas."],
    "vm_close": ["Deixe a sua mensagem após o sinal.", "Deixe o seu nome e contacto, e ligaremos de volta.", "Obrigado e até breve."],
    "short": ["{name}, deixe mensagem.", "Não estou.", "Deixa recado."],
    "carrier": ["O cliente para quem ligou não está disponível.", "Grave a sua mensagem depois do sinal.", "A sua chamada foi encaminhada para a caixa postal."],
    "full": ["A caixa de mensagens está cheia."],
    "screen": ["Olá, esta chamada é atendida por um assistente.", "Diga o seu nome e o motivo da chamada, por favor."],
    "ivr_open": ["Bem-vindo a {co}.", "Obrigado por ligar para {co}."],
    "ivr_opt": ["Para vendas, marque um.", "Para faturas, marque dois.", "Para falar com um operador, marque zero.", "Todos os operadores estão ocupados, aguarde por favor."],
    "intercept": ["O número que marcou não está atribuído.", "Verifique o número e volte a ligar."],
}
T["nl"] = {
    "hello": ["Hallo?", "Ja?", "Ja, hallo?", "Hoi.", "Goedemorgen.", "Hallo, met wie?"],
    "named": ["Met {name}.", "Met {name} {last}.", "{last}.", "Ja, met {name}, hallo?", "Goedemiddag, met {last}."],
    "business": ["{co}, met {name}, waar kan ik u mee helpen?", "Goedemorgen, {co}.", "{co}, u spreekt met {name} {last}.", "Receptie, goedemiddag, met wie wilt u spreken?"],
    "talk": ["Ja, momentje, ik zit in de trein en ik versta u bijna niet, zegt u het nog eens.", "Hallo, sorry, ik was buiten met de kinderen, wie is dit?"],
    "wait": ["Hallo?", "Is daar iemand?", "Hallo, hoort u mij?", "Wie is dit?"],
    "vm_open": ["Hallo, dit is {name}.", "Dit is de voicemail van {name} {last}.", "U bent verbonden met {co}."],
    "vm_mid": ["Ik kan de telefoon nu niet opnemen.", "Wij zijn op dit moment gesloten.", "Ons kantoor is open vanaf {hour} uur."],
    "vm_close": ["Spreek een bericht in na de piep.", "Laat uw naam en nummer achter, dan bellen wij terug.", "Bedankt en tot horens."],
    "short": ["{name}, spreek iets in.", "Ik ben er niet.", "Voicemail van {name}."],
    "carrier": ["De persoon die u belt is niet bereikbaar.", "Spreek na de toon uw bericht in.", "U wordt doorgeschakeld naar de voicemail van {num}."],
    "full": ["Deze voicemailbox is vol."],
    "screen": ["Hallo, deze oproep wordt aangenomen door een assistent.", "Zeg uw naam en waarvoor u belt."],
    "ivr_open": ["Welkom bij {co}.", "Bedankt voor het bellen naar {co}."],
    "ivr_opt": ["Voor verkoop, kies één.", "Voor uw factuur, kies twee.", "Voor een medewerker, kies nul.", "Al onze medewerkers zijn in gesprek, een ogenblik geduld."],
    "intercept": ["Dit nummer is niet in gebruik.", "Controleer het nummer en probeer het opnieuw."],
}
T["da"] = {
    "hello": ["Hallo?", "Ja?", "Hej.", "Ja, hallo?", "Goddag."],
    "named": ["Det er {name}.", "{name} {last}.", "Ja, du taler med {name}.", "Hej, {name} her."],
    "business": ["{co}, du taler med {name}, hvad kan jeg hjælpe med?", "Goddag, {co}.", "{co}, god morgen."],
    "talk": ["Ja, et øjeblik, jeg går lige udenfor, så kan jeg bedre høre dig.", "Hej, jeg sidder i bilen, så forbindelsen er lidt dårlig."],
    "wait": ["Hallo?", "Er der nogen?", "Kan du høre mig?"],
    "vm_open": ["Hej, det er {name}.", "Du har ringet til {name} {last}.", "Dette er telefonsvareren hos {co}."],
    "vm_mid": ["Jeg kan ikke tage telefonen lige nu.", "Vi har lukket for i dag.", "Vores åbningstid er fra {hour} til fire."],
    "vm_close": ["Læg en besked efter tonen.", "Læg dit navn og nummer, så ringer vi tilbage.", "Tak fordi du ringede."],
    "short": ["{name}, læg en besked.", "Jeg er her ikke."],
    "carrier": ["Den person du ringer til kan ikke træffes.", "Indtal din besked efter klartonen."],
    "full": ["Telefonsvareren er fuld."],
    "screen": ["Hej, dette opkald besvares af en assistent.", "Sig dit navn og hvorfor du ringer."],
    "ivr_open": ["Velkommen til {co}.", "Tak fordi du ringer til {co}."],
    "ivr_opt": ["Tryk et for salg.", "Tryk to for regninger.", "Alle medarbejdere er optaget, vent venligst."],
    "intercept": ["Nummeret er ikke i brug.", "Kontroller nummeret og prøv igen."],
}
T["cs"] = {
    "hello": ["Haló?", "Prosím?", "Ano?", "Dobrý den."], "named": ["{last}, prosím.", "Tady {name}.", "U telefonu {name} {last}."],
    "business": ["{co}, dobrý den, jak vám mohu pomoci?", "{co}, prosím.", "Recepce, {last}, dobré ráno."],
    "talk": ["Počkejte chvilku, jsem venku a skoro vás neslyším, tak povídejte."], "wait": ["Haló?", "Je tam někdo?", "Slyšíte mě?"],
    "vm_open": ["Ahoj, tady {name}.", "Dovolali jste se do firmy {co}."], "vm_mid": ["Teď nemohu mluvit.", "Máme zavřeno, otevíráme v {hour} hodin."],
    "vm_close": ["Nechte mi vzkaz po zaznění tónu.", "Zanechte své jméno a číslo, ozveme se vám."], "short": ["{name}, nechte vzkaz.", "Nejsem tu."],
    "carrier": ["Volaný účastník není dostupný.", "Po zaznění tónu zanechte zprávu."], "full": ["Schránka je plná."],
    "screen": ["Dobrý den, hovor přijal asistent.", "Řekněte své jméno a důvod hovoru."], "ivr_open": ["Vítejte ve firmě {co}."],
    "ivr_opt": ["Pro objednávky stiskněte jedna.", "Pro fakturaci stiskněte dva.", "Všichni operátoři jsou zaneprázdněni."], "intercept": ["Volané číslo neexistuje."],
}
T["fi"] = {
    "hello": ["Haloo?", "Niin?", "Hei.", "No moi."], "named": ["{name} {last}.", "{last}, hei.", "{name} puhelimessa."],
    "business": ["{co}, {name}, kuinka voin auttaa?", "{co}, hyvää huomenta."],
    "talk": ["Hetkinen, menen ulos, täällä on niin kova meteli, no niin, kerro."], "wait": ["Haloo?", "Onko siellä ketään?", "Kuuletko?"],
    "vm_open": ["Hei, tässä {name}.", "Olet soittanut numeroon {num}."], "vm_mid": ["En voi nyt vastata.", "Toimistomme on suljettu."],
    "vm_close": ["Jätä viesti äänimerkin jälkeen.", "Jätä nimesi ja numerosi, niin soitamme takaisin."], "short": ["{name}, jätä viesti.", "En ole paikalla."],
    "carrier": ["Tavoittelemaanne henkilöön ei juuri nyt saada yhteyttä.", "Jätä viesti äänimerkin jälkeen."], "full": ["Vastaaja on täynnä."],
    "screen": ["Hei, puheluun vastaa avustaja.", "Kerro nimesi ja asiasi."], "ivr_open": ["Tervetuloa, tämä on {co}."],
    "ivr_opt": ["Myynti, paina yksi.", "Laskut, paina kaksi.", "Kaikki palvelijat ovat varattuja."], "intercept": ["Numero ei ole käytössä."],
}
T["ca"] = {
    "hello": ["Digui?", "Sí?", "Hola.", "Bon dia."], "named": ["Sóc la {name}.", "{name} {last}, digui."],
    "business": ["{co}, bon dia, en què el puc ajudar?", "{co}, digui."], "talk": ["Espera un moment, que soc al carrer i no et sento bé."],
    "wait": ["Hola?", "Que hi ha algú?", "Em sent?"], "vm_open": ["Hola, soc en {name}.", "Has trucat a {co}."], "vm_mid": ["Ara no puc atendre't.", "Som fora de l'oficina."],
    "vm_close": ["Deixa el missatge després del senyal.", "Deixi el seu nom i el telèfon."], "short": ["Soc {name}, deixa un missatge."],
    "carrier": ["La persona a qui truca no està disponible.", "Enregistri el missatge després del senyal."], "full": ["La bústia és plena."],
    "screen": ["Bon dia, la trucada l'atén un assistent.", "Digui el seu nom i per què truca."], "ivr_open": ["Benvingut a {co}."],
    "ivr_opt": ["Per a vendes, premi u.", "Per a factures, premi dos.", "Tots els agents estan ocupats."], "intercept": ["El número marcat no existeix."],
}
T["pl"] = {
    "hello": ["Halo?", "Słucham?", "Tak?", "Dzień dobry."], "named": ["{name}, słucham.", "{last}, halo?", "Mówi {name}."],
    "business": ["{co}, dzień dobry, w czym mogę pomóc?", "{co}, słucham."], "talk": ["Proszę chwilę poczekać, jestem na ulicy i słabo słyszę."],
    "wait": ["Halo?", "Jest tam kto?", "Słyszy mnie pan?"], "vm_open": ["Cześć, tu {name}.", "Dodzwoniłeś się do firmy {co}."], "vm_mid": ["Nie mogę teraz odebrać.", "Biuro jest zamknięte."],
    "vm_close": ["Zostaw wiadomość po sygnale.", "Proszę zostawić nazwisko i numer."], "short": ["{name}, zostaw wiadomość.", "Nie ma mnie."],
    "carrier": ["Abonent jest czasowo niedostępny.", "Nagraj wiadomość po sygnale."], "full": ["Skrzynka jest pełna."],
    "screen": ["Dzień dobry, rozmowę odbiera asystent.", "Proszę podać nazwisko i powód rozmowy."], "ivr_open": ["Witamy w firmie {co}."],
    "ivr_opt": ["Sprzedaż, naciśnij jeden.", "Faktury, naciśnij dwa.", "Wszyscy konsultanci są zajęci."], "intercept": ["Nie ma takiego numeru."],
}
T["sv"] = {
    "hello": ["Hallå?", "Ja?", "Hej.", "God morgon."], "named": ["{name}.", "Det är {name}.", "Hos {last}."],
    "business": ["{co}, {name}, vad kan jag hjälpa till med?", "Välkommen till {co}, du talar med {name}."], "talk": ["Vänta lite, jag står på perrongen och det är svårt att höra."],
    "wait": ["Hallå?", "Är det någon där?", "Hör du mig?"], "vm_open": ["Hej, det är {name}.", "Du har kommit till {co}."], "vm_mid": ["Jag kan inte svara just nu.", "Vi har stängt för dagen."],
    "vm_close": ["Lämna ett meddelande efter tonen.", "Lämna namn och nummer, så ringer vi upp."], "short": ["{name}, lämna ett meddelande.", "Jag är inte här."],
    "carrier": ["Abonnenten kan inte nås just nu.", "Tala in ditt meddelande efter tonen."], "full": ["Röstbrevlådan är full."],
    "screen": ["Hej, samtalet besvaras av en assistent.", "Säg ditt namn och vad det gäller."], "ivr_open": ["Välkommen till {co}."],
    "ivr_opt": ["För försäljning, tryck ett.", "För fakturor, tryck två.", "Alla handläggare är upptagna."], "intercept": ["Numret har ingen abonnent."],
}

for lang, roles in MORE.items():
    for role, text in roles.items():
        T[lang][role] = T[lang][role] + rows(text)

KINDS = {"hello": ["hello", "wait"], "name": ["named"], "help": ["business"], "talk": ["talk"], "reached": ["vm_open"], "away": ["vm_mid"], "leave": ["vm_close", "short"],
         "network": ["carrier"], "full": ["full"], "who": ["screen"], "welcome": ["ivr_open"], "option": ["ivr_opt"], "gone": ["intercept"]}
KIND_OF = {role: n for n, roles in enumerate(KINDS.values()) for role in roles}
# Splits of the templates: `net` teaches the net, `trees` the trees (which also hear the others), `held` is the hold-out.
SPLITS = ("net", "trees", "held")


def template_split(n):
    return "held" if n % 4 == 3 else "trees" if n % 8 == 6 else "net"


def templates(lang, role, split):
    """Templates of a role for a split (all of them where there are too few to share)."""
    rows = T[lang][role]
    mine = [row for n, row in enumerate(rows) if template_split(n) == split]
    return mine if mine and len(rows) >= 4 else rows


def render(template, lang, rng):
    """Fills the slots of a template from the seeded generator."""
    pick = lambda rows: rows[int(rng.integers(len(rows)))]
    digits = ", ".join(pick(DIGITS[lang]) for _ in range(int(rng.integers(4, 9))))
    return template.format(name=pick(NAMES[lang]), last=pick(LASTS[lang]), co=pick(COMPANIES[lang]), num=digits, hour=pick(HOURS[lang]))
