"""More wordings of the roles in `texts.py`, by language: one sentence a line, in the order of the roles' lists."""

MORE = {}
MORE["en"] = {
    "hello": """Hello, yes? | Hi, who's this? | Yeah, hello. | Hello hello. | Good morning. | Hey. | Hello, hi. | Yep? | Yes, go ahead. | Hello, good evening. | Who is this? | Uh, hello?
        | Hi, good morning. | Yeah. | Yes, good afternoon. | Oh hi. | Hey, what's up? | Hello there. | Go ahead. | Hm, hello? | Allo? | Ahoy. | Yeah, speaking. | Oh, hello.""",
    "named": """This is {name}. | {name} here. | Hi, {name} speaking. | Hello, this is {name} {last}. | Yes, {last} here. | Mrs. {last} speaking. | You've got {name}. | Hey, it's {name}, hi. | {last}.
        | Hello, it's {name} {last} here. | Mister {last} speaking, hello. | {name} {last} speaking, who's this? | Yes hello, {name} {last}. | Doctor {last}.""",
    "business": """Good afternoon, thank you for calling {co}, this is {name} speaking, how may I help you today? | {co}, {name} speaking. | {co}, how can I help you? | Hi, {co}, what can I get for you?
        | Good morning, you're through to {name} at {co}, how can I help? | Reception, good morning. | {co}, good morning, {name} speaking, who would you like to talk to?
        | Hello, you're speaking with {name} from {co}, who am I talking to please? | {name} {last}, accounts. | Support desk, this is {name}, what seems to be the problem? | {co} front office, how may I help?
        | Hi, thanks for calling {co}, can I take your name? | {co}, {last} speaking, good evening. | Workshop, {name}. | Good day, {co}, {name} {last} on the phone, what can I do for you?
        | Hello, {co}, do you want to make a booking? | Doctor {last}'s office, this is {name}. | Hello and good morning, {co}, my name is {name}, how may I direct your call?
        | {co}, sorry to keep you waiting, how can I help? | You're talking to {name} at {co}, what's your order number?""",
    "talk": """Hello, yes, who is it, I can't quite hear you, could you speak up a little bit? | Hi mum, I'm on the bus, I'll be home around {hour}, do you need anything from the shop?
        | Yeah hello, sorry, I was just in a call, what can I do for you? | Oh hi, I was just about to phone you, listen, about tomorrow. | Hold on, hold on, I'm just putting my headphones in, okay, who's this?
        | Hello, no, you've got the wrong number, there's no {name} here. | Yes, this is he, what is it regarding, because I'm actually at work. | Hi, yes, I did get your letter, thank you, I meant to answer.
        | Hang on a minute, let me get a pen, right, go on. | Hello, can you call me back in ten minutes, I'm just paying at the till. | Sorry, who did you say, I can't hear anything, there's a train coming.
        | Hello, this is {name}'s phone, she's outside, shall I go and get her? | Yeah, yeah, I know, I'm on my way, five minutes, I promise. | No, he's not in at the moment, he went out, can I take a message?
        | Good evening, yes, speaking, I was expecting your call actually. | Hello, if you're selling something I'm really not interested, thank you. | What? Say that again, the signal is awful in here.
        | Hi {name}, how are you doing, it's been such a long time. | Okay, okay, give me one second, I have to put the baby down. | Hello, yes, thanks for ringing back so quickly, it's about the boiler.""",
    "wait": """Hello, are you there? | Is anyone there? | Sorry, I can't hear you. | I can't hear anything. | Who's there? | Hello, who's calling? | Yes? Hello? | You're on mute, I think. | Anybody? | Hellooo?
        | Is this a joke? | Speak up, please.""",
    "vm_open": """Hello, you've reached {name}. | Hi, you have reached the voicemail of {name} {last}. | This is {name}'s phone. | You've reached the mobile of {name}. | Hi there, this is {name} {last}.
        | Hello, you're through to {name}'s answering machine. | You have reached the office of {name} {last}. | Thank you for calling {co}. | Hello, this is the answering machine of {co}. | You've reached {co}.
        | Hey, {name} here. | Hi, it's {name} and {name}. | This is the voicemail for {num}. | Hello, you've reached the {last} residence. | You have reached the personal mailbox of {name} {last}.
        | Hey there, you've got {name}'s cell. | Hello caller, this is {name}. | Welcome to the voicemail of {name}.""",
    "vm_mid": """I'm not able to take your call right now. | I can't get to the phone at the moment. | Sorry I can't take your call. | I'm not available right now. | We are unable to take your call. | We're currently closed.
        | I'm sorry I missed your call. | I'm away from my desk at the moment. | I'm out of the office until Monday. | No one is available to take your call. | I'm probably in a meeting or driving.
        | We can't come to the phone just now. | Unfortunately we are closed at the moment. | Our office hours are Monday to Friday, {hour} to five thirty. | I am currently on holiday and will return next week.
        | All lines are busy at present. | If it's important, send me a text message. | You can also send an email to our office. | There is nobody here to take your call. | Nobody is available right now.
        | I'm unavailable at present. | We are either on the other line or with a client.""",
    "vm_close": """Please leave a message. | Please leave a message after the beep. | Leave a message after the tone and I'll get back to you. | Leave your name, your number and a brief message after the beep.
        | Please leave your message after the tone. | Just leave a message and I'll ring you back. | Leave a message at the beep. | If you leave your name and number, we'll call you back. | Please speak after the tone.
        | Leave me a voicemail. | Please leave a detailed message, including your phone number. | I'll call you back as soon as I can. | We'll return your call shortly. | Wait for the beep.
        | Please leave your name, telephone number and the reason for your call. | Kindly leave a message and somebody will get back to you. | After the beep, tell me what you want. | Thanks, bye.
        | So leave a message, and I will call you back. | Speak clearly after the tone. | Record your message now. | Thank you for calling, and please leave a message.""",
    "short": """Hi, this is {name}, leave a message. | Leave a message after the beep. | It's {name}, you know what to do. | Hi, leave your message. | {name}, please leave a message. | Please leave a message. | I'm not in, leave a message.
        | You've reached {name}, leave a message. | Hey, {name} here, leave a message. | {name}'s phone, leave your name and number. | Sorry, can't answer, leave a message. | Message after the tone. | Hi, {name}, I'll call you back.
        | This is {name}, at the beep. | Leave it at the tone. | Voicemail of {name}, speak now. | Not in right now, bye. | You've reached my voicemail.""",
    "carrier": """The person you have called is unavailable. | Please leave your message after the tone. | The number you have called is not available right now. | Please record your message after the tone.
        | The mobile phone you are calling is switched off. | The person you are calling is not available. | Please try again later, or leave a message after the tone. | You have reached the voice mailbox of {num}.
        | Your call has been forwarded to voicemail. | The wireless customer is not available. | When you are finished recording, hang up, or press pound for more options. | Record your message at the tone.
        | To leave a callback number, press five. | The subscriber you have dialled is not reachable. | Sorry, the person you are calling can't take your call. | Hello, the person at extension {num} is not available.
        | {num} cannot come to the phone. | Is not available. At the tone, please record your message. | This is the voicemail service. | The extension you have dialled does not answer.""",
    "full": """The mailbox is full and cannot accept any messages at this time. | The memory is full. | The person you are calling has a voicemail box that has not been set up yet. | Sorry, this mailbox is full, please call again later.
        | This mailbox is currently not accepting messages. | You cannot leave a message at this time, goodbye.""",
    "screen": """The person you are calling is using a call screening service. | Please say your name and the reason for your call. | Please state your name and I will see if this person is available.
        | Hi, if you record your name and reason for calling, I'll see if this person is available. | The person you're calling is screening calls. | Please stay on the line. | Who may I say is calling?
        | Please tell me your name after the beep. | Hello, this is the virtual assistant of {name}, who is calling please? | May I know who's calling and what it is about? | Your call is being screened, please say your name.
        | You've reached a private line, please announce yourself. | To reach this person, say your name now. | Please hold while I check whether {name} can take the call. | I'm the assistant, what can I tell {name}?
        | Before I try to connect you, tell me what you are calling about. | The person you're calling will see what you say as text. | Say who you are, and I'll put you through if possible. | Please record your name at the tone, then press pound.
        | This number is protected, unknown callers must give their name. | Hold on, I am letting them know you called. | Is it urgent, or can they call you back?""",
    "ivr_open": """Welcome, you have reached {co}. | Thank you for calling the {co} customer service line. | Hello, and thank you for calling {co}. | This call may be recorded. | Calls may be recorded for training purposes.
        | Your call is important to us. | Please choose from the following options. | Please listen to the following menu. | For quality assurance, this call will be recorded. | You are connected to {co}. | For English, press one.
        | Welcome to the automated service of {co}. | Please select one of the following options. | You are through to {co}, please have your account number ready.""",
    "ivr_opt": """Press one for sales. | Press two for support. | For technical support, press four. | For all other enquiries, please stay on the line. | To make a payment, press five. | For customer service, press two.
        | If this is an emergency, hang up and dial the emergency number. | To return to the main menu, press nine. | Please hold while we connect your call. | Your call is important to us, please stay on the line.
        | All our operators are busy, please hold. | An agent will be with you shortly. | The waiting time is approximately {hour} minutes. | You are caller number three. | To repeat these options, press the star key.
        | For reservations, say reservations, or press six. | Please enter your pin, then press pound. | Thank you for holding, please continue to wait. | Say yes or no. | In a few words, tell us why you are calling today.
        | For accounts, press three. | Please wait while your call is transferred. | You can also visit us online at our website. | Please enter the extension of the person you wish to speak to.""",
    "intercept": """We're sorry, your call cannot be completed as dialled. | The number you have called has not been recognised. | This number is not in service. | Sorry, you have dialled an incorrect number.
        | The subscriber you are calling does not accept calls. | You do not have permission to call this number. | Due to network difficulties, your call cannot be connected. | Please hang up and try again.
        | The number you are calling is no longer active. | Calls to this number are restricted.""",
}
MORE["es"] = {
    "hello": "Diga. | ¿Hola? | Sí, hola. | ¿Quién es? | Buenos días. | Buenas tardes. | ¿Sí, quién es? | Oigo. | A ver. | ¿Mande? | Hola, buenas. | Sí. | Aló, ¿quién habla? | Hola, sí, dime.",
    "named": "Aquí {name}. | Sí, habla {name} {last}. | {name} al habla. | {last}, buenas tardes. | Hola, soy {name}. | Con {name} {last}, dígame. | Soy {name}, ¿quién es? | La señora {last} al aparato.",
    "business": """Buenos días, {co}, habla {name}, ¿en qué le puedo servir? | {co}, le habla {name}, buenas tardes. | {co}, ¿en qué podemos ayudarle? | Hola, ha llamado a {co}, soy {name}, ¿con quién hablo?
        | Consultorio del doctor {last}, buenos días. | Almacén, dígame. | {co}, sí, ¿quiere pedir cita? | Centralita, buenos días, ¿con qué departamento le paso? | Administración, {name} {last}, dígame.
        | Muy buenas, {co}, le atiende {name}, dígame qué necesita.""",
    "talk": """Hola, sí, te oigo fatal, espera que me cambio de sitio, a ver ahora. | Sí, sí, ya salgo, llego en diez minutos, no te preocupes. | No, se ha equivocado, aquí no vive ninguna {name}.
        | Mira, ahora estoy conduciendo, te llamo yo cuando llegue. | Hola, mamá, estaba a punto de llamarte, ¿cómo estás? | Un momento por favor, que apunto el número, dígame. | No está, ha salido a comprar, ¿quiere que le diga algo?
        | Si es para venderme algo no me interesa, gracias, adiós. | ¿Cómo? Repítalo, que hay mucho ruido aquí. | Sí, soy yo, ¿de qué se trata? Es que estoy en el trabajo.""",
    "wait": "¿Sí? ¿Hola? | No se oye nada. | ¿Quién llama? | ¿Está ahí? | Hola, hola. | Hable, por favor. | ¿Diga? ¿Diga? | No le oigo.",
    "vm_open": """Hola, has llamado a {name}. | Este es el contestador automático de {name} {last}. | Ha llamado usted a {co}. | Hola, este es el teléfono de {name}. | Se ha comunicado con {name} {last}.
        | Gracias por llamar a {co}. | Hola, te has comunicado con el buzón de voz de {name}. | Está llamando a la oficina de {name} {last}. | Este es el buzón de voz del {num}.""",
    "vm_mid": """Ahora mismo no puedo contestar. | En este momento no podemos atender su llamada. | No me encuentro disponible. | Estoy de viaje y vuelvo la semana que viene. | Nuestras oficinas están cerradas.
        | En estos momentos no estoy. | No estoy disponible en este momento. | Siento no poder contestar. | Lo sentimos, todas las líneas están ocupadas. | Estamos fuera del horario de atención.""",
    "vm_close": """Deja un mensaje. | Por favor, deje su mensaje después del tono. | Deja tu nombre y tu número y te devuelvo la llamada. | Deje su mensaje al oír la señal. | Después de la señal, deje su mensaje.
        | Deje su nombre, su número y el motivo de la llamada. | Te llamaré en cuanto pueda. | Nos pondremos en contacto con usted. | Por favor, deja un mensaje después del pitido. | Grabe su mensaje, gracias.""",
    "short": """Hola, soy {name}, deja tu mensaje. | Deja un mensaje después de la señal. | Has llamado a {name}, deja un mensaje. | Ahora no puedo, deja un mensaje. | Buzón de {name}, deje su recado. | Hola, deja tu recado.
        | Deje su mensaje. | Soy {name}, te llamo luego.""",
    "carrier": """El número que ha marcado no está disponible en este momento. | El teléfono al que llama está apagado o fuera de cobertura. | Por favor, deje su mensaje después de la señal. | La persona con la que intenta comunicarse no está disponible.
        | Le atiende el contestador automático. | Su llamada será transferida al buzón de mensajes. | Deje su mensaje después de oír la señal. | La persona en la extensión {num} no está disponible. | Este es el buzón de voz de {num}.""",
    "full": "El buzón de voz está lleno. | No se pueden dejar más mensajes en este buzón. | El cliente no tiene buzón de voz. | El buzón está lleno, llame más tarde.",
    "screen": """Por favor, diga su nombre después de la señal. | La persona a la que llama filtra sus llamadas. | ¿Quién llama y de qué se trata? | Diga quién es y veré si puede atenderle. | Hola, soy el asistente virtual de {name}, ¿quién llama?
        | No cuelgue, por favor, voy a comprobar si está disponible. | Esta llamada la atiende un asistente, indique su nombre y el motivo. | Dígame su nombre, por favor. | Espere en la línea mientras aviso a {name}.""",
    "ivr_open": """Bienvenido al servicio de atención al cliente de {co}. | Le damos la bienvenida a {co}. | Ha llamado a {co}. | Por motivos de calidad, esta llamada será grabada. | Su llamada es muy importante para nosotros.
        | Por favor, escuche las siguientes opciones. | Elija una de las siguientes opciones. | Gracias por comunicarse con {co}.""",
    "ivr_opt": """Pulse uno para ventas. | Marque dos para soporte técnico. | Para otras consultas, permanezca a la espera. | Si conoce la extensión, márquela ahora. | Para volver al menú, pulse asterisco. | Por favor, no cuelgue, en breve le atenderemos.
        | Su llamada será atendida por orden. | Para pedir cita, pulse tres. | Presione cero para hablar con la operadora. | Diga en pocas palabras el motivo de su llamada. | Para repetir este menú, pulse nueve. | Le pasamos con un agente, espere.""",
    "intercept": "El número marcado no corresponde a ningún cliente. | Actualmente no existe ninguna línea con esta numeración. | Su llamada no puede ser completada. | El número que usted marcó está fuera de servicio. | Por favor, verifique el número. | Por congestión no podemos cursar su llamada.",
}
MORE["fr"] = {
    "hello": "Allô. | Oui. | Allô oui bonjour. | Oui, j'écoute. | Bonsoir. | Allô, qui est à l'appareil ? | Ouais ? | Oui allô, bonjour. | Allô allô ? | Oui, qui est-ce ? | Coucou. | Je vous écoute.",
    "named": "Oui, {name} à l'appareil. | {name} {last}. | Allô, {name}. | Ici {name} {last}. | C'est {name}, oui ? | Madame {last}, bonjour. | {last}, bonjour. | Oui, {name} {last}, je vous écoute.",
    "business": """{co}, bonjour, {name} à votre écoute. | Bonjour, {co}, {name} à l'appareil, en quoi puis-je vous aider ? | {co}, j'écoute. | Cabinet du docteur {last}, bonjour. | Service clients, {name}, bonjour, quel est votre numéro de dossier ?
        | {co} bonsoir, que désirez-vous ? | Bonjour, vous êtes en ligne avec {name}, de {co}, à qui ai-je l'honneur ? | Standard, bonjour, qui demandez-vous ? | Atelier, oui ? | {co}, bonjour, c'est pour un rendez-vous ?""",
    "talk": """Oui, attends, je t'entends très mal, je change de pièce, voilà, vas-y. | Allô, oui, non, vous vous êtes trompé de numéro, il n'y a pas de {name} ici. | Oui maman, j'arrive, je suis dans le bus, dans dix minutes je suis là.
        | Ah bonjour, je voulais justement vous appeler, c'est au sujet de la facture. | Écoutez, je suis en rendez-vous, est-ce que je peux vous rappeler ? | Non, elle n'est pas là, elle est sortie, je peux prendre un message ?
        | Oui, c'est moi, c'est à quel sujet ? | Si c'est pour de la publicité, ça ne m'intéresse pas, merci. | Pardon ? Je n'entends rien, il y a trop de bruit. | Une seconde, je prends de quoi noter, voilà, allez-y.""",
    "wait": "Allô, allô ? | Je ne vous entends pas. | Vous êtes là ? | C'est qui ? | Parlez plus fort. | Allô, il y a quelqu'un ? | Oui ? Allô ? | Qui est à l'appareil ?",
    "vm_open": """Bonjour, vous êtes bien sur le répondeur de {name}. | Bonjour, vous êtes sur la messagerie de {name} {last}. | Salut, c'est {name}. | Vous êtes bien sur le téléphone de {name}. | Bonjour, vous avez appelé {co}.
        | Vous êtes en relation avec {co}. | Bonjour, ici le répondeur de {name} {last}. | Vous êtes bien chez la famille {last}. | Bienvenue sur la messagerie vocale de {name}.""",
    "vm_mid": """Je ne suis pas disponible pour le moment. | Je ne suis pas là pour l'instant. | Nous ne pouvons pas prendre votre appel. | Je ne peux pas prendre votre appel. | Nos bureaux sont actuellement fermés.
        | Je suis en congé jusqu'à lundi. | Désolé de ne pas pouvoir vous répondre. | Actuellement indisponible. | Nous sommes fermés. | Toutes nos lignes sont occupées.""",
    "vm_close": """Laissez un message après le bip. | Veuillez laisser un message après le bip sonore. | Merci de me laisser un message. | Laissez votre nom et votre numéro, et je vous rappelle. | Laissez-nous un message, nous vous rappellerons dès que possible.
        | Vous pouvez laisser un message après le signal sonore. | Je vous rappellerai dès que possible. | Merci de votre appel. | Laissez vos coordonnées et le motif de votre appel. | Parlez après le bip.""",
    "short": """Bonjour, c'est {name}, laissez un message. | Laissez un message. | Laissez-moi un message après le bip. | Vous êtes bien chez {name}, laissez un message. | Je ne suis pas là, laissez un message. | Répondeur de {name}.
        | C'est {name}, je vous rappelle. | Un message après le bip, merci.""",
    "carrier": """La personne que vous appelez n'est pas disponible. | Votre correspondant est momentanément indisponible. | Veuillez laisser un message après le bip. | Bonjour, vous êtes bien sur la boîte vocale du {num}.
        | Le correspondant que vous demandez ne peut être joint. | Laissez votre message après le bip sonore. | Vous allez être mis en relation avec la messagerie. | À la fin de votre message, raccrochez ou tapez dièse. | La personne au poste {num} n'est pas disponible.""",
    "full": "La boîte vocale est pleine. | Cette messagerie ne peut plus recevoir de messages. | La messagerie est pleine, veuillez rappeler plus tard. | La boîte vocale de votre correspondant n'est pas configurée.",
    "screen": """La personne que vous appelez filtre ses appels. | Veuillez dire votre nom après le bip. | Bonjour, je suis l'assistant de {name}, qui est à l'appareil ? | Indiquez votre nom et le motif de votre appel. | Ne quittez pas, je vérifie si votre correspondant est disponible.
        | C'est de la part de qui, et à quel sujet ? | Dites-moi qui vous êtes, je vais voir si la personne est disponible. | Votre appel est pris par un assistant virtuel. | Veuillez vous présenter, s'il vous plaît.""",
    "ivr_open": """Bonjour et bienvenue chez {co}. | Bienvenue au service clients de {co}. | Vous êtes en relation avec le service clients de {co}. | Votre appel est important pour nous. | Pour améliorer notre service, cet appel peut être enregistré.
        | Veuillez choisir parmi les options suivantes. | Vous êtes bien chez {co}. | Merci de votre appel à {co}.""",
    "ivr_opt": """Tapez un pour les ventes. | Pour le service technique, appuyez sur trois. | Pour toute autre demande, restez en ligne. | Veuillez patienter, un conseiller va vous répondre. | Si vous connaissez le numéro de poste, composez-le maintenant.
        | Pour réécouter ce menu, tapez étoile. | Votre temps d'attente est estimé à {hour} minutes. | Appuyez sur deux pour prendre rendez-vous. | Toutes nos lignes sont occupées, ne quittez pas. | Dites en quelques mots la raison de votre appel. | Nous vous mettons en relation avec un conseiller.""",
    "intercept": "Le numéro que vous demandez n'est plus attribué. | Votre appel ne peut aboutir. | Le numéro composé est incorrect. | Par suite d'encombrement, votre appel ne peut aboutir. | Ce numéro n'est pas en service actuellement. | Veuillez rappeler ultérieurement.",
}
MORE["de"] = {
    "hello": "Ja. | Hallo. | Guten Morgen. | Grüß Gott. | Ja, guten Tag. | Hallo, ja? | Servus. | Hallo, wer spricht? | Jo? | Ja, wer ist da? | Guten Abend. | Hallo hallo.",
    "named": "{name}. | {name}, hallo. | {last} hier, guten Tag. | Hallo, hier {name} {last}. | {last} am Apparat. | Ja, hier ist {last}. | Frau {last}, guten Tag. | {name} {last}, hallo?",
    "business": """{co}, Sie sprechen mit {name} {last}, guten Tag. | {co}, {name} {last}, wie kann ich Ihnen helfen? | Firma {co}, {last}, was kann ich für Sie tun? | Praxis Doktor {last}, guten Morgen. | {co}, {last}, grüß Gott.
        | Schönen guten Tag, {co}, mein Name ist {last}, wie darf ich helfen? | Kundendienst, {name} {last}, Ihre Kundennummer bitte? | Empfang, {last}, zu wem möchten Sie? | Werkstatt, {last}. | {co}, möchten Sie einen Termin?""",
    "talk": """Ja, warte mal, ich höre dich ganz schlecht, ich gehe mal ans Fenster, so, jetzt. | Nein, da sind Sie falsch verbunden, hier wohnt keine {name}. | Ja Mama, ich bin gleich da, ich sitze noch im Bus.
        | Ach, gut dass Sie anrufen, ich wollte mich auch gerade melden wegen der Rechnung. | Ich bin gerade im Termin, kann ich Sie in einer halben Stunde zurückrufen? | Nein, der ist nicht da, der ist einkaufen, soll ich was ausrichten?
        | Ja, am Apparat, worum geht es denn? | Wenn es um Werbung geht, habe ich kein Interesse, danke. | Wie bitte? Ich verstehe Sie nicht, hier ist es so laut. | Moment, ich hole mir schnell was zu schreiben, so, bitte.""",
    "wait": "Hallo? Hallo? | Ich höre Sie nicht. | Wer ist denn da? | Sind Sie noch dran? | Hallo, ist da wer? | Ja? Hallo? | Sprechen Sie bitte lauter.",
    "vm_open": """Hallo, dies ist die Mailbox von {name}. | Guten Tag, Sie sind verbunden mit dem Anschluss von {name} {last}. | Hallo, hier ist der Anrufbeantworter von {name}. | Hier ist die Mailbox von {name} {last}. | Sie sind verbunden mit {co}.
        | Hallo, das ist der Anrufbeantworter der Familie {last}. | Vielen Dank für Ihren Anruf bei {co}. | Hi, hier ist {name}. | Sie haben {co} erreicht.""",
    "vm_mid": """Ich kann gerade nicht ans Telefon gehen. | Leider bin ich im Moment nicht erreichbar. | Wir können Ihren Anruf zurzeit nicht entgegennehmen. | Zurzeit ist niemand erreichbar. | Unser Büro ist im Moment nicht besetzt.
        | Ich bin im Urlaub und ab Montag wieder da. | Alle Leitungen sind belegt. | Momentan bin ich unterwegs. | Leider können wir gerade nicht rangehen. | Unser Büro ist geschlossen.""",
    "vm_close": """Bitte hinterlassen Sie eine Nachricht nach dem Signalton. | Hinterlasst mir eine Nachricht. | Sprechen Sie bitte nach dem Piepton. | Bitte hinterlassen Sie Ihren Namen und Ihre Telefonnummer. | Ich rufe dann zurück.
        | Sie können uns eine Nachricht hinterlassen. | Hinterlassen Sie bitte eine Nachricht, wir rufen Sie zurück. | Nachrichten bitte nach dem Ton. | Wir melden uns so bald wie möglich. | Bitte sprechen Sie jetzt.""",
    "short": """Hier ist {name}, bitte hinterlass eine Nachricht. | Nachrichten nach dem Ton. | Hinterlassen Sie eine Nachricht. | {name}, ich rufe zurück. | Bin nicht da, sprich nach dem Piep. | Hallo, hier ist {name}, Nachricht bitte.
        | Mailbox von {name} {last}, bitte nach dem Ton. | Kann gerade nicht, schreib mir.""",
    "carrier": """Der Teilnehmer ist vorübergehend nicht erreichbar. | Der angerufene Teilnehmer ist zurzeit nicht erreichbar. | Bitte sprechen Sie nach dem Signalton. | Sie sind verbunden mit der Mailbox von {num}.
        | Der Anschluss ist im Moment nicht erreichbar. | Ihr Anruf wird an die Mailbox weitergeleitet. | Bitte hinterlassen Sie Ihre Nachricht nach dem Ton. | Der Teilnehmer wird per Kurzmitteilung informiert. | Die Person an Nebenstelle {num} ist nicht erreichbar.""",
    "full": "Die Mailbox ist voll. | Der Speicher ist voll, bitte rufen Sie später an. | Diese Mailbox nimmt keine Nachrichten an. | Es können keine Nachrichten mehr aufgezeichnet werden.",
    "screen": """Bitte nennen Sie nach dem Ton Ihren Namen. | Der Teilnehmer nutzt einen Assistenten für Anrufe. | Hallo, hier ist der virtuelle Assistent von {name}, wer spricht bitte? | Sagen Sie mir Ihren Namen, dann frage ich nach.
        | Wer ruft an, und worum geht es? | Bitte bleiben Sie dran, ich prüfe, ob {name} sprechen kann. | Ihr Anruf wird gefiltert, bitte nennen Sie Ihr Anliegen. | Ich verbinde Sie, sobald ich weiß, wer Sie sind. | Wie ist Ihr Name, bitte?""",
    "ivr_open": """Herzlich willkommen bei {co}. | Guten Tag und willkommen bei der Hotline von {co}. | Dieses Gespräch kann zu Schulungszwecken aufgezeichnet werden. | Ihr Anruf ist uns wichtig. | Bitte wählen Sie aus den folgenden Möglichkeiten.
        | Sie sind verbunden mit dem Kundenservice von {co}. | Schön, dass Sie anrufen. | Willkommen beim Kundendienst von {co}.""",
    "ivr_opt": """Drücken Sie die Eins für den Vertrieb. | Für technische Fragen drücken Sie die Drei. | Für alle anderen Anliegen bleiben Sie bitte in der Leitung. | Bitte haben Sie einen Augenblick Geduld. | Sie werden mit dem nächsten freien Mitarbeiter verbunden.
        | Wenn Sie die Durchwahl kennen, wählen Sie diese jetzt. | Um das Menü zu wiederholen, drücken Sie die Sterntaste. | Bitte warten. | Die Wartezeit beträgt etwa {hour} Minuten. | Nennen Sie uns in wenigen Worten Ihr Anliegen. | Für einen Termin wählen Sie die Vier.""",
    "intercept": "Kein Anschluss unter dieser Nummer. | Die Rufnummer des Teilnehmers hat sich geändert. | Ihr Gespräch kann zurzeit nicht vermittelt werden. | Dieser Anschluss ist vorübergehend nicht erreichbar. | Bitte prüfen Sie die Rufnummer. | Bitte versuchen Sie es später noch einmal.",
}
MORE["it"] = {
    "hello": "Sì. | Pronto, sì? | Ehi. | Buonasera. | Pronto, chi parla? | Sì, dica. | Pronto pronto. | Salve. | Sì, buongiorno. | Chi è? | Dimmi. | Eccomi.",
    "named": "Sono {name}. | Parla {name} {last}. | {name}, pronto. | Qui {last}, buongiorno. | Pronto, sono {name} {last}. | Sì, {name} {last}. | Famiglia {last}, pronto. | {last}, mi dica.",
    "business": """Buongiorno, {co}, sono {name}, in cosa posso esserle utile? | {co}, buongiorno, mi dica. | {co}, parla {name}, come posso aiutarla? | Studio del dottor {last}, buonasera. | Centralino, buongiorno, con chi vuole parlare?
        | Magazzino, pronto. | Assistenza clienti, sono {name}, mi dà il suo codice? | {co}, vuole prenotare? | Buonasera, {co}, desidera? | Salve, qui è {co}, parlo con il signor {last}?""",
    "talk": """Sì, aspetta che ti sento malissimo, esco sul balcone, ecco, dimmi. | No guardi, ha sbagliato numero, qui non c'è nessuna {name}. | Sì mamma, arrivo, sono sull'autobus, tra dieci minuti sono a casa.
        | Ah, volevo proprio chiamarla io, è per quella fattura. | Senta, sono in riunione, la posso richiamare dopo? | No, non c'è, è uscito, vuole lasciar detto qualcosa? | Sì, sono io, di che cosa si tratta? | Se è pubblicità non mi interessa, grazie.
        | Come? Non sento niente, c'è troppo rumore. | Un secondo che prendo la penna, ecco, dica.""",
    "wait": "Pronto? Pronto? | Non la sento. | C'è qualcuno? | Chi parla? | Pronto, mi sente? | È ancora lì? | Sì? Pronto?",
    "vm_open": """Ciao, hai chiamato {name}. | Salve, questa è la segreteria di {name} {last}. | Buongiorno, avete chiamato lo studio {last}. | Risponde la segreteria telefonica di {co}. | Questo è il telefono di {name}. | Grazie per aver chiamato {co}.
        | Risponde la casella vocale del {num}. | Avete chiamato casa {last}. | Qui è la segreteria di {name}.""",
    "vm_mid": """Non posso rispondere adesso. | Al momento non siamo disponibili. | Non sono disponibile al momento. | I nostri uffici sono chiusi. | In questo momento siamo assenti. | Sono in ferie fino a lunedì. | Tutte le linee sono occupate.
        | Mi dispiace, non posso rispondere. | Non siamo in grado di rispondere. | Al momento non sono raggiungibile.""",
    "vm_close": """Lascia un messaggio dopo il bip. | Lasciate un messaggio dopo il segnale. | Lasciate il vostro nome e numero di telefono. | Vi preghiamo di lasciare un messaggio. | Lascia un messaggio e ti richiamo. | Dopo il segnale acustico lasciate un messaggio.
        | Potete lasciare un messaggio. | Parlate dopo il segnale. | Richiamerò appena possibile. | Lasciate nome, numero e motivo della chiamata.""",
    "short": "Ciao, sono {name}, lasciate un messaggio. | Lascia un messaggio dopo il bip. | Non ci sono, lascia un messaggio. | Hai chiamato {name}, lascia un messaggio. | {name}, richiamo io. | Dopo il bip. | Segreteria di {name}, parlate. | Adesso non posso, scrivimi.",
    "carrier": """Il cliente da lei chiamato non è al momento raggiungibile. | La persona chiamata non è disponibile. | Lasciate un messaggio dopo il segnale acustico. | Il telefono della persona chiamata potrebbe essere spento. | Risponde il servizio di segreteria telefonica.
        | La chiamata è stata trasferita alla segreteria. | La persona all'interno {num} non è disponibile. | Si prega di richiamare più tardi. | Al termine riagganciare o premere cancelletto.""",
    "full": "La casella vocale è piena. | Non è possibile lasciare messaggi. | La segreteria è piena, richiamare più tardi. | La casella non accetta altri messaggi.",
    "screen": """Dica il suo nome dopo il segnale. | La persona chiamata filtra le chiamate. | Sono l'assistente virtuale di {name}, chi parla? | Chi parla e per quale motivo chiama? | Attenda in linea, verifico se è disponibile. | Mi dica chi è e la metto in contatto.
        | Per favore, dica il suo nome. | Questa chiamata è gestita da un assistente. | Posso sapere con chi parlo?""",
    "ivr_open": """Benvenuto nel servizio clienti di {co}. | Buongiorno e benvenuti in {co}. | La sua chiamata è importante per noi. | Per garantire la qualità del servizio, la chiamata verrà registrata. | Scegliere una delle seguenti opzioni. | Siete in linea con {co}.
        | Vi diamo il benvenuto in {co}. | Risponde {co}.""",
    "ivr_opt": """Premere uno per le vendite. | Per assistenza tecnica digiti tre. | Per altre informazioni resti in linea. | Attendere prego, un operatore risponderà al più presto. | Se conosce il numero interno, lo digiti ora. | Per riascoltare il menù premere asterisco.
        | Il tempo di attesa è di circa {hour} minuti. | Digiti due per prenotare. | La preghiamo di non riagganciare. | Dica in poche parole il motivo della chiamata. | La stiamo mettendo in contatto con un operatore.""",
    "intercept": "Il numero da lei chiamato è inesistente. | L'utente non è abilitato. | La chiamata non può essere completata. | Il numero composto non è corretto. | Si prega di controllare il numero. | Servizio momentaneamente non disponibile.",
}
MORE["pt"] = {
    "hello": "Alô, quem é? | Sim, estou. | Boa tarde. | Oi, tudo bem? | Alô, bom dia. | Sim. | Olá, sim? | Pronto. | Quem é? | Diga. | Tô. | Opa.",
    "named": "É {name}. | Aqui é {name}. | {name} falando. | Sim, fala {name} {last}. | {last}, bom dia. | Oi, é {name}.",
    "business": """{co}, bom dia, {name}, em que posso ajudar? | {co}, {name} falando, boa tarde. | Bom dia, {co}, com quem eu falo? | Consultório do doutor {last}, boa tarde. | Atendimento, meu nome é {name}, qual é o número do seu pedido?
        | {co}, pois não? | Secretaria, bom dia. | {co}, quer marcar uma consulta?""",
    "talk": """Oi, espera um pouco que eu não estou te ouvindo, vou sair daqui, pronto, fala. | Não, é engano, aqui não tem nenhuma {name}. | Sim, mãe, estou a chegar, dez minutos e estou aí. | Olhe, agora estou numa reunião, posso ligar-lhe depois?
        | Não está, saiu agora mesmo, quer deixar recado com a gente? | Sim, sou eu, é sobre o quê? | Se é para vender não estou interessado, obrigado. | Como? Não percebi, há muito barulho aqui.""",
    "wait": "Alô? Alô? | Não estou a ouvir nada. | Tem alguém aí? | Quem fala? | Está? | Você está me ouvindo?",
    "vm_open": "Você ligou para {name}. | Este é o correio de voz de {name} {last}. | Ligou para {co}. | Olá, este é o telemóvel de {name}. | Obrigado por ligar para {co}. | Esta é a caixa postal do número {num}.",
    "vm_mid": "No momento não posso atender. | Não estou disponível neste momento. | De momento não podemos atender a sua chamada. | Estou de férias até segunda-feira. | Os nossos escritórios estão fechados. | Não estamos em casa. | Todas as linhas estão ocupadas.",
    "vm_close": """Por favor, deixe uma mensagem após o sinal. | Deixe seu recado após o bip. | Deixe a sua mensagem depois do sinal. | Deixa uma mensagem que eu ligo de volta. | Deixe o seu nome e número de telefone. | Retornarei assim que possível. | Fale após o sinal.
        | Deixe o seu recado que ligaremos assim que possível.""",
    "short": "Oi, é {name}, deixe um recado. | Deixe a sua mensagem. | {name}, deixe recado após o bip. | Não posso atender, deixe mensagem. | Ligou para {name}, deixe mensagem. | Deixe o recado.",
    "carrier": """O número para o qual ligou não está disponível. | O telefone chamado está desligado ou fora da área de cobertura. | Deixe a sua mensagem após o sinal. | Sua chamada está sendo encaminhada para a caixa postal e estará sujeita a cobrança após o sinal.
        | O cliente não está contactável. | Por favor, tente mais tarde. | A pessoa no ramal {num} não está disponível.""",
    "full": "A caixa postal está cheia. | Esta caixa não aceita mais mensagens. | A caixa de correio está cheia, tente mais tarde. | O serviço de voz não está ativo.",
    "screen": """Por favor, diga o seu nome após o sinal. | A pessoa para quem ligou filtra as chamadas. | Quem fala e qual é o assunto? | Sou o assistente de {name}, com quem falo? | Aguarde na linha enquanto verifico se está disponível. | Diga quem é e eu transfiro a chamada.
        | Esta chamada está a ser atendida por um assistente virtual.""",
    "ivr_open": "Bem-vindo ao atendimento de {co}. | Olá, você ligou para {co}. | A sua chamada é importante para nós. | Esta chamada poderá ser gravada. | Escolha uma das seguintes opções. | Bem-vindo à linha de apoio de {co}.",
    "ivr_opt": """Digite um para vendas. | Para suporte técnico, digite três. | Para outros assuntos, aguarde em linha. | Aguarde um momento, a sua chamada será atendida em breve. | Se sabe a extensão, marque agora. | Para repetir, prima asterisco.
        | Prima dois para marcar consulta. | O tempo de espera é de {hour} minutos. | Diga em poucas palavras o motivo da ligação. | Estamos transferindo a sua ligação.""",
    "intercept": "Este número não existe. | O número chamado não está em serviço. | A sua chamada não pode ser completada. | Por favor, verifique o número discado.",
}
MORE["nl"] = {
    "hello": "Ja. | Hallo. | Goedemiddag. | Ja, goedemorgen. | Hallo, ja? | Met wie spreek ik? | Hé. | Ja, zeg het maar. | Goedenavond. | Hallo, wie is dit?",
    "named": "{name}. | Hallo, met {name}. | Met {last}, goedemorgen. | Ja, {name} {last}. | U spreekt met {name}. | Met mevrouw {last}. | {name} hier.",
    "business": """Goedemorgen, {co}, met {name}, wat kan ik voor u doen? | {co}, goedemiddag, u spreekt met {name}. | Welkom bij {co}, u spreekt met {name} {last}, waarmee kan ik u van dienst zijn? | Praktijk {last}, goedemorgen. | Klantenservice, met {name}, wat is uw klantnummer?
        | {co}, met {last}. | Magazijn, met {name}. | {co}, wilt u een afspraak maken?""",
    "talk": """Ja wacht even, ik hoor je heel slecht, ik loop even naar buiten, zo, zeg het maar. | Nee, u bent verkeerd verbonden, hier woont geen {name}. | Ja mam, ik kom eraan, ik zit nog in de bus. | Ik zit in een vergadering, kan ik u zo terugbellen?
        | Nee, die is er niet, die is boodschappen doen, kan ik iets doorgeven? | Ja, daar spreekt u mee, waar gaat het over? | Als het reclame is heb ik geen interesse, dank u. | Wat zegt u? Er is hier zoveel lawaai. | Een moment, ik pak even een pen, ja, zegt u het maar.""",
    "wait": "Hallo? Hallo? | Ik hoor niets. | Wie is daar? | Bent u er nog? | Hallo, is daar iemand? | Ja, hallo?",
    "vm_open": "Hallo, dit is de voicemail van {name}. | U heeft gebeld met {name} {last}. | Hoi, met {name}. | Dit is het antwoordapparaat van {co}. | U bent verbonden met de voicemail van {name}. | Bedankt voor het bellen met {co}. | U luistert naar de voicemail van {num}.",
    "vm_mid": "Ik kan even niet opnemen. | Ik ben op dit moment niet bereikbaar. | We zijn nu niet bereikbaar. | Ons kantoor is gesloten. | Ik ben op vakantie tot maandag. | Alle lijnen zijn bezet. | We kunnen u nu niet te woord staan. | Op dit moment ben ik er niet.",
    "vm_close": """Laat een bericht achter na de piep. | Spreek uw boodschap in na de toon. | Laat een bericht achter en ik bel terug. | Laat je naam en nummer achter. | U kunt een bericht achterlaten na de pieptoon. | Ik bel zo snel mogelijk terug. | Spreek in na de piep.
        | Laat een boodschap achter, dan bel ik u terug.""",
    "short": "Met {name}, laat een bericht achter. | Laat een bericht achter. | Spreek in na de piep. | Hoi, {name}, ik bel je terug. | Ik ben er niet, laat iets achter. | Dit is {name}, spreek een bericht in. | Voicemail, spreek maar in.",
    "carrier": """Degene die u belt is op dit moment niet bereikbaar. | Het nummer dat u heeft gebeld is niet beschikbaar. | Spreek uw bericht in na de piep. | U kunt na de toon een bericht inspreken. | Dit is de voicemail van {num}. | De abonnee is niet bereikbaar.
        | De persoon op toestel {num} is niet beschikbaar. | Na het inspreken kunt u ophangen.""",
    "full": "De voicemail is vol. | Er kunnen geen berichten meer worden ingesproken. | Deze mailbox is niet ingesteld. | De mailbox is vol, probeer het later nog eens.",
    "screen": """Zeg uw naam na de toon. | Degene die u belt laat oproepen controleren. | Ik ben de assistent van {name}, wie kan ik zeggen dat er belt? | Wie bent u, en waar gaat het over? | Blijft u aan de lijn, ik kijk of {name} beschikbaar is. | Noem alstublieft uw naam.
        | Vertel mij uw naam, dan verbind ik u door.""",
    "ivr_open": "Welkom bij de klantenservice van {co}. | Goedendag, u bent verbonden met {co}. | Dit gesprek kan worden opgenomen. | Uw telefoontje is belangrijk voor ons. | Maak een keuze uit het volgende menu. | Fijn dat u belt met {co}.",
    "ivr_opt": """Toets één voor verkoop. | Voor technische vragen, toets drie. | Voor overige vragen, blijf aan de lijn. | Een moment geduld alstublieft. | U wordt zo snel mogelijk geholpen. | Er zijn nog {hour} wachtenden voor u. | Weet u het toestelnummer, toets dat dan nu in.
        | Om dit menu te herhalen, toets sterretje. | Vertel in een paar woorden waarvoor u belt. | Kies vier voor een afspraak.""",
    "intercept": "Het door u gekozen nummer is niet in gebruik. | Dit nummer is niet aangesloten. | Uw gesprek kan niet tot stand worden gebracht. | U heeft een onjuist nummer gekozen.",
}
MORE["da"] = {
    "hello": "Ja. | Hallo. | Godmorgen. | Hej hej. | Ja, hvem er det? | Goddag, hallo?", "named": "{name}. | {last}, goddag. | Hej, det er {name} {last}. | Ja, det er {name}. | Hos {last}.",
    "business": "{co}, {name}, goddag. | Velkommen til {co}, du taler med {name}, hvad kan jeg gøre for dig? | Lægehuset, du taler med {name}. | {co}, hvem vil du tale med?",
    "talk": "Vent lige, jeg kan næsten ikke høre dig, nu går jeg et andet sted hen, sådan. | Nej, du har fået forkert nummer, her er ingen {name}. | Ja mor, jeg er på vej, jeg er der om ti minutter. | Jeg sidder i møde, kan jeg ringe tilbage?",
    "wait": "Hallo? Hallo? | Jeg kan ikke høre noget. | Hvem er det? | Er du der?", "vm_open": "Hej, du har ringet til {name}. | Det er telefonsvareren hos {name} {last}. | Tak fordi du ringer til {co}. | Du er kommet til {name}s telefonsvarer.",
    "vm_mid": "Jeg kan desværre ikke tage telefonen. | Jeg er ikke til at træffe lige nu. | Vi kan ikke besvare dit opkald. | Kontoret er lukket. | Jeg er på ferie til mandag.",
    "vm_close": "Læg en besked efter bippet. | Læg venligst en besked, så ringer jeg tilbage. | Indtal en besked efter klartonen. | Læg dit navn og telefonnummer. | Jeg ringer tilbage hurtigst muligt.",
    "short": "Det er {name}, læg en besked. | Læg en besked. | Hej, {name}, jeg ringer tilbage. | Du har ringet til {name}, læg en besked.",
    "carrier": "Personen du ringer til er ikke til at få fat på. | Læg en besked efter tonen. | Telefonen er slukket eller uden for dækning. | Du er viderestillet til telefonsvareren.",
    "full": "Der kan ikke indtales flere beskeder. | Postkassen er fuld.", "screen": "Sig dit navn efter tonen. | Hvem ringer, og hvad drejer det sig om? | Jeg er assistent for {name}, hvem taler jeg med? | Bliv venligst på linjen.",
    "ivr_open": "Goddag og velkommen til {co}. | Samtalen kan blive optaget. | Dit opkald er vigtigt for os. | Vælg mellem følgende muligheder.",
    "ivr_opt": "For teknisk support, tryk tre. | Bliv venligst på linjen. | Du er nummer fire i køen. | For alt andet, vent på en medarbejder. | Tryk nul for omstillingen. | Tryk stjerne for at høre menuen igen.",
    "intercept": "Det nummer du har kaldt er ikke i brug. | Dit opkald kan ikke gennemføres.",
}
MORE["sv"] = {
    "hello": "Hallå. | Ja, hallå? | Hej hej. | Ja. | God dag. | Vem är det?", "named": "{name} {last}. | Ja, det är {name} {last}. | {last}, hallå. | Hej, {name} här.",
    "business": "{co}, du talar med {name}. | God morgon, {co}, {name}. | Kundtjänst, {name}, vad gäller det?", "talk": "Vänta, jag hör dig så dåligt, jag går ut, så där, säg nu. | Nej, du har ringt fel, här finns ingen {name}. | Jag sitter i möte, kan jag ringa dig sen?",
    "wait": "Hallå? Hallå? | Jag hör ingenting. | Vem är det?", "vm_open": "Hej, du har kommit till {name}. | Det här är {name}s telefonsvarare. | Du har ringt {name} {last}.",
    "vm_mid": "Jag kan tyvärr inte svara just nu. | Kontoret är stängt. | Jag är inte tillgänglig.", "vm_close": "Lämna ett meddelande efter pipet. | Tala in ett meddelande efter signalen. | Jag ringer upp så snart jag kan.",
    "short": "Det är {name}, lämna ett meddelande. | Lämna ett meddelande. | Hej, {name}, jag ringer upp.", "carrier": "Personen du söker kan inte svara. | Lämna ditt meddelande efter tonen. | Mobilen är avstängd eller saknar täckning.",
    "screen": "Säg ditt namn efter tonen. | Vem är det som ringer, och vad gäller det? | Vänta kvar i luren.", "ivr_open": "Hej och välkommen till {co}. | Samtalet kan spelas in. | Ditt samtal är viktigt för oss.",
    "ivr_opt": "Tryck ett för försäljning. | För övriga frågor, vänta kvar. | Du är nummer fyra i kön. | Vänligen vänta.", "intercept": "Numret du har ringt används inte. | Samtalet kan inte kopplas fram.",
}
MORE["pl"] = {
    "hello": "Tak, słucham? | Halo, kto mówi? | Tak. | Cześć.", "named": "{name} {last}, słucham. | Tak, tu {name}.", "business": "Dzień dobry, {co}, przy telefonie {name}, w czym mogę pomóc? | Recepcja, słucham.",
    "talk": "Poczekaj, słabo cię słyszę, wyjdę na zewnątrz, no, mów. | Nie, to pomyłka, tu nie ma żadnej {name}.", "wait": "Halo? Halo? | Nic nie słyszę. | Kto tam?", "vm_open": "Tu poczta głosowa {name} {last}. | Dodzwoniłeś się do {name}.",
    "vm_mid": "Nie mogę teraz rozmawiać. | Jestem niedostępny. | Nasze biuro jest nieczynne.", "vm_close": "Proszę zostawić wiadomość po sygnale. | Zostaw wiadomość, oddzwonię. | Oddzwonię najszybciej jak to możliwe.",
    "short": "Tu {name}, zostaw wiadomość. | Zostaw wiadomość.", "carrier": "Osoba, do której dzwonisz, nie może odebrać. | Po sygnale zostaw wiadomość. | Abonent ma wyłączony telefon.",
    "screen": "Powiedz swoje imię po sygnale. | Kto dzwoni i w jakiej sprawie? | Proszę pozostać na linii.", "ivr_open": "Dzień dobry, witamy w {co}. | Rozmowa jest nagrywana. | Wybierz jedną z opcji.",
    "ivr_opt": "Aby połączyć się z konsultantem, wybierz zero. | Proszę czekać na połączenie. | Naciśnij trzy. | W innych sprawach pozostań na linii.", "intercept": "Wybrany numer jest nieprawidłowy. | Połączenie nie może być zrealizowane.",
}
MORE["cs"] = {
    "hello": "Ano, prosím? | No? | Haló, kdo je tam? | Slyším.", "named": "{name} {last}. | {last}, dobrý den.", "business": "Dobrý den, {co}, u telefonu {name}, co pro vás mohu udělat? | {co}, {last}, dobrý den.",
    "talk": "Moment, špatně vás slyším, půjdu ven, tak, povídejte. | Ne, to máte špatné číslo, tady žádná {name} není.", "wait": "Haló? Haló? | Nic neslyším. | Kdo volá?", "vm_open": "Dobrý den, tady záznamník {name}. | Dovolali jste se do hlasové schránky.",
    "vm_mid": "Momentálně nejsem k dispozici. | Nemohu přijmout váš hovor. | Kancelář je zavřená.", "vm_close": "Zanechte prosím vzkaz po zaznění tónu. | Nechte mi zprávu, zavolám zpět. | Ozvu se co nejdříve.", "short": "Tady {name}, nechte vzkaz. | Nechte zprávu.",
    "carrier": "Volaný účastník je dočasně nedostupný. | Zanechte zprávu po zaznění signálu. | Telefon je vypnutý.", "screen": "Řekněte své jméno po zaznění tónu. | Kdo volá a v jaké věci? | Zůstaňte na lince.",
    "ivr_open": "Dobrý den, vítá vás {co}. | Hovor může být nahráván. | Vyberte z následujících možností.", "ivr_opt": "Stiskněte jedna pro objednávky. | Vyčkejte prosím na spojení. | Pro ostatní dotazy zůstaňte na lince.", "intercept": "Volané číslo není používáno. | Hovor nelze spojit.",
}
MORE["fi"] = {
    "hello": "Haloo. | Joo? | Moi. | Kuka siellä?", "named": "Täällä {name}. | {last}.", "business": "{co}, hyvää päivää, {name} puhelimessa. | {co}, miten voin olla avuksi?", "talk": "Odota, kuulen huonosti, siirryn muualle, noin, kerro nyt.",
    "wait": "Haloo? Haloo? | En kuule mitään.", "vm_open": "Tämä on {name} {last} vastaaja. | Olet soittanut yritykseen {co}.", "vm_mid": "En pääse nyt puhelimeen. | En ole juuri nyt tavoitettavissa.", "vm_close": "Jätä viesti piippauksen jälkeen. | Soitan takaisin mahdollisimman pian.",
    "short": "Tässä {name}, jätä viesti. | Jätä viesti.", "carrier": "Henkilö ei ole tavoitettavissa. | Jätä viestisi äänimerkin jälkeen.", "screen": "Sano nimesi äänimerkin jälkeen. | Kuka soittaa ja mistä asiasta?", "ivr_open": "Hei ja tervetuloa. | Puhelu voidaan nauhoittaa.",
    "ivr_opt": "Odota, ole hyvä. | Muissa asioissa, pysy linjalla. | Paina nolla.", "intercept": "Valitsemanne numero ei ole käytössä.",
}
MORE["ca"] = {
    "hello": "Digui. | Sí, digui? | Qui és? | Bona tarda.", "named": "Soc la {name} {last}. | {last}, bon dia.", "business": "{co}, l'atén en {name}, digui'm. | Bona tarda, {co}, què desitja?", "talk": "Espera, que no et sento gens, surto a fora, ara, digues. | No, s'ha equivocat de número.",
    "wait": "Hola? Hola? | No sento res.", "vm_open": "Has trucat a la {name}. | Aquest és el contestador de {co}.", "vm_mid": "En aquest moment no puc contestar. | No estem disponibles.", "vm_close": "Deixa un missatge després del to. | Et trucaré tan aviat com pugui.",
    "short": "Deixa un missatge. | Soc {name}, deixa el missatge.", "carrier": "El telèfon al qual truca està apagat. | Deixi el missatge després del senyal.", "screen": "Digui el seu nom després del senyal. | Qui truca, i per quin motiu?", "ivr_open": "Gràcies per trucar a {co}. | La trucada pot ser gravada.",
    "ivr_opt": "Esperi, si us plau. | Per a altres consultes, esperi en línia. | Premi zero.", "intercept": "Aquest número no està en servei.",
}


def rows(text):
    return [" ".join(row.split()) for row in text.split("|")]
